//! `--where`: which dead letters a command is about.

use std::time::Duration;

use aftercommit_core::{Clock as _, SystemClock, Timestamp, nearest};
use aftercommit_store::DeadLetterFilter;

/// What can be asked for.
const KEYS: [&str; 8] =
    ["observer", "action", "class", "code", "entity_type", "event_kind", "since", "until"];

/// Reads `KEY = VALUE, ..`; for clap. A value that has a comma or a quote is written in single quotes, with each quote in it twice.
pub(super) fn parse(text: &str) -> Result<DeadLetterFilter, String> {
    parse_at(text, SystemClock.now())
}

fn parse_at(text: &str, now: Timestamp) -> Result<DeadLetterFilter, String> {
    let mut filter = DeadLetterFilter::default();
    let (mut rest, mut seen) = (text, Vec::new());
    loop {
        let (key, after) = rest.split_once('=').ok_or_else(|| {
            format!("`{}` is not KEY = VALUE, such as observer = order-shipped", rest.trim())
        })?;
        let key = key.trim();
        if !KEYS.contains(&key) {
            let hint = nearest(key, KEYS).map_or_else(
                || format!("; there are {}", KEYS.join(", ")),
                |near| format!("; did you mean `{near}`?"),
            );
            return Err(format!("there is no `{key}`{hint}"));
        }
        if seen.contains(&key) {
            return Err(format!("`{key}` is there twice"));
        }
        seen.push(key);
        let (value, after) = value(key, after.trim_start())?;
        set(&mut filter, key, value, now)?;
        match after {
            Some(after) => rest = after,
            None => return Ok(filter),
        }
    }
}

/// The value that a text begins with, and what comes behind its comma.
fn value<'t>(key: &str, text: &'t str) -> Result<(String, Option<&'t str>), String> {
    let (value, after) = if let Some(quoted) = text.strip_prefix('\'') {
        quoted_value(quoted).ok_or_else(|| format!("the quote of `{key}` is not closed"))?
    } else {
        let (value, after) = text.split_once(',').map_or((text, None), |(value, after)| (value, Some(after)));
        (value.trim().to_owned(), after)
    };
    // A script may have meant a variable that is not set.
    if value.is_empty() { Err(format!("`{key}` has no value")) } else { Ok((value, after)) }
}

fn quoted_value(text: &str) -> Option<(String, Option<&str>)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        let Some(next) = after.strip_prefix('\'') else {
            let after = after.trim_start();
            return match after.strip_prefix(',') {
                Some(after) => Some((value, Some(after))),
                None => after.is_empty().then_some((value, None)),
            };
        };
        value.push('\'');
        rest = next;
    }
}

fn set(filter: &mut DeadLetterFilter, key: &str, value: String, now: Timestamp) -> Result<(), String> {
    match key {
        "observer" => filter.observer = Some(value),
        "action" => filter.action = Some(value),
        "class" => filter.class = Some(value),
        "code" => filter.code = Some(value),
        "entity_type" => filter.entity_type = Some(value),
        "event_kind" => {
            filter.event_kind = Some(value.parse().map_err(|error| format!("event_kind: {error}"))?);
        }
        "since" => filter.since = Some(time(key, &value, now)?),
        _ => filter.until = Some(time(key, &value, now)?),
    }
    Ok(())
}

/// A time, or how long ago.
fn time(key: &str, value: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || format!("`{key}` is a time such as 2026-01-31T12:00:00Z, or how long ago: 30m, 12h, 7d");
    let unit = match value.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return value.parse().map_err(|_| wrong()),
    };
    let count: u64 = value[..value.len() - 1].parse().map_err(|_| wrong())?;
    Ok(now.minus(Duration::from_secs(count.saturating_mul(unit))))
}

#[cfg(test)]
mod tests {
    use aftercommit_core::EventKind;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    #[test]
    fn all_keys_are_read() {
        let text = "observer = order-shipped, action=hook ,class = transient, code = http_500, entity_type = Order, \
                    event_kind = updated, since = 2h, until = 2026-01-01T00:00:00Z";
        let filter = DeadLetterFilter {
            observer: Some("order-shipped".into()),
            action: Some("hook".into()),
            class: Some("transient".into()),
            code: Some("http_500".into()),
            entity_type: Some("Order".into()),
            event_kind: Some(EventKind::Updated),
            since: Some(NOW.minus(Duration::from_hours(2))),
            until: Some(NOW),
        };
        assert_eq!(parse_at(text, NOW), Ok(filter));
    }

    #[test]
    fn a_quoted_value_may_hold_anything() {
        let observer = |text: &str| parse_at(text, NOW).map(|filter| (filter.observer.unwrap(), filter.code));
        assert_eq!(
            observer("observer = 'a, b = ''c''', code = x"),
            Ok(("a, b = 'c'".into(), Some("x".into())))
        );
        assert_eq!(observer("observer = 'a'"), Ok(("a".into(), None)));
        assert_eq!(observer("observer = a = b"), Ok(("a = b".into(), None)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "`` is not KEY = VALUE"),
            ("observer", "`observer` is not KEY = VALUE"),
            ("observer = a,", "`` is not KEY = VALUE"),
            ("observer = ", "`observer` has no value"),
            ("observer = '', code = x", "`observer` has no value"),
            ("observer = 'a", "the quote of `observer` is not closed"),
            ("observer = 'a' b", "the quote of `observer` is not closed"),
            ("obsrever = a", "did you mean `observer`?"),
            ("code = a, code = b", "`code` is there twice"),
            ("event_kind = moved", "event_kind: "),
            ("since = yesterday", "`since` is a time such as"),
            ("until = 5x", "`until` is a time such as"),
            ("since = ééh", "`since` is a time such as"),
        ] {
            let error = parse_at(text, NOW).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
