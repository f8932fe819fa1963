//! Helpers that make texts of texts and lists. Null stays null.

use serde_json::Value;

use super::arguments::{Arguments, shown, text};
use crate::templates::{Escaping, RenderProblem, bounds::check_result_bytes};

type Made = Result<Value, RenderProblem>;

/// `{{truncate x 20 "…"}}`: at most 20 characters, with the last text at the end of what was cut.
pub(super) fn truncate(given: &Arguments<'_, '_>) -> Made {
    let most = given.count(1)?.unwrap_or_default();
    let end = given.optional(2)?.map(text).unwrap_or_default();
    with_text(given, |text| {
        if text.chars().nth(most).is_none() {
            return text.to_owned();
        }
        let kept = most.saturating_sub(end.chars().count());
        text.chars().take(kept).chain(end.chars().take(most)).collect()
    })
}

pub(super) fn lower(given: &Arguments<'_, '_>) -> Made {
    with_text(given, str::to_lowercase)
}

pub(super) fn upper(given: &Arguments<'_, '_>) -> Made {
    with_text(given, str::to_uppercase)
}

/// Percent-encoded for a part of a URL.
pub(super) fn urlencode(given: &Arguments<'_, '_>) -> Made {
    with_text(given, |text| {
        let mut encoded = String::with_capacity(text.len());
        Escaping::Url.escape_into(text, &mut encoded);
        encoded
    })
}

/// `{{join tags ", "}}`: the items of a list, the second text between them.
pub(super) fn join(given: &Arguments<'_, '_>) -> Made {
    let between = given.optional(1)?.map_or_else(|| ", ".into(), text);
    let items = match given.given(0)? {
        Value::Null => return Ok(Value::Null),
        Value::Array(items) => items,
        _ => return Err(given.wrong("takes a list")),
    };
    let mut joined = String::new();
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            joined.push_str(&between);
        }
        joined.push_str(&text(item));
        check_result_bytes(joined.len())?;
    }
    Ok(joined.into())
}

/// Characters of a text, items of a list, fields of an object.
pub(super) fn len(given: &Arguments<'_, '_>) -> Made {
    let length = match given.given(0)? {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::Null => 0,
        scalar => text(scalar).chars().count(),
    };
    Ok(length.into())
}

/// The value as JSON text.
pub(super) fn json(given: &Arguments<'_, '_>) -> Made {
    Ok(given.given(0)?.to_string().into())
}

/// `{{default x "none"}}`: the value, or the other when it is missing or null.
pub(super) fn default(given: &Arguments<'_, '_>) -> Made {
    match given.maybe(0).filter(|value| !value.is_null()) {
        Some(value) => Ok(value.clone()),
        None => given.given(1).cloned(),
    }
}

/// `{{lookup list 0}}`, `{{lookup object "key"}}`.
pub(super) fn lookup(given: &Arguments<'_, '_>) -> Made {
    let (within, key) = (given.given(0)?, given.given(1)?);
    let found = match within {
        Value::Array(items) => key.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?)),
        Value::Object(fields) => key.as_str().and_then(|name| fields.get(name)),
        _ => None,
    };
    found.cloned().ok_or_else(|| RenderProblem::Missing(shown(&text(key))))
}

fn with_text(given: &Arguments<'_, '_>, change: impl FnOnce(&str) -> String) -> Made {
    match given.given(0)? {
        Value::Null => Ok(Value::Null),
        value => Ok(change(&text(value)).into()),
    }
}
