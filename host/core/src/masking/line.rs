//! The secret of one line.

use std::ops::Range;

use super::{
    carry::Carry,
    url,
    word::{Holds, Keys, is_reference},
};

/// What must be hidden of a line.
#[derive(Default, Debug)]
pub(super) struct Found {
    /// These bytes. More than the secret where it is not clear where that ends.
    pub(super) hidden: Option<Range<usize>>,
    /// The secrets in them, which no message may quote.
    pub(super) values: Vec<Range<usize>>,
    /// Why the lines after it belong to it.
    pub(super) carry: Option<Carry>,
}

impl Found {
    /// These bytes are a secret.
    pub(super) fn all(hidden: Range<usize>, carry: Option<Carry>) -> Self {
        Self { hidden: Some(hidden.clone()), values: vec![hidden], carry }
    }
}

/// What must be hidden of a line, and whether the lines after it belong to it.
pub(super) fn secret<'t>(line: &'t str, keys: &mut Keys<'t>) -> Found {
    let mut all = Found::default();
    let mut end = 0;
    for (word, is_first) in words(line) {
        let name = &line[word.clone()];
        if word.start < end {
            continue;
        }
        let Some(value) = value_after(line, word.end, is_first) else { continue };
        let Some(found) = keys.holds(name).and_then(|what| value_to_hide(line, value, what)) else {
            continue;
        };
        end = found.values.last().map_or(value, |value| value.end);
        all.hidden = both(all.hidden, found.hidden);
        all.values.extend(found.values);
        all.carry = found.carry;
    }
    if let Some(found) = url::credentials(line) {
        all.hidden = both(all.hidden, Some(found.clone()));
        all.values.push(found);
    }
    all
}

/// All from the first to the last byte that must be hidden, and what stands between.
pub(super) fn both(one: Option<Range<usize>>, other: Option<Range<usize>>) -> Option<Range<usize>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.start.min(other.start)..one.end.max(other.end)),
        (one, other) => one.or(other),
    }
}

/// What to hide of a value that begins at `start`; nothing if it may be shown.
fn value_to_hide(line: &str, start: usize, what: Holds) -> Option<Found> {
    let value = &line[start..];
    let carry = Carry::after(line, value);
    if value.trim().is_empty() {
        return carry
            .filter(|_| what != Holds::Name)
            .map(|carry| Found { carry: Some(carry), ..Found::default() });
    }
    let (inner, is_closed) = unquoted(value);
    let inner_start = start + usize::from(value.starts_with(['"', '\'']));
    let is_quoted = is_closed && inner_start > start;
    // What stands behind a quoted value is hidden too: the quote may be a part of it.
    let value_end = if is_quoted { inner_start + inner.len() } else { line.len() };
    match what {
        Holds::Name if is_reference(value, true) || (is_quoted && is_reference(inner, true)) => None,
        Holds::Secret if matches!(carry, Some(Carry::Indented(_)) | None) && is_reference(value, false) => {
            None
        }
        Holds::Address if is_closed && url::is_harmless(inner) => None,
        Holds::Address => {
            let found = url::to_hide(inner);
            let is_clear = is_closed && found.end < inner.len();
            let hidden_end = if is_clear { inner_start + found.end } else { line.len() };
            let secret = inner_start + found.start..hidden_end.min(value_end);
            let hidden = Some(secret.start..hidden_end);
            Some(Found { hidden, values: vec![secret], carry: carry.filter(|_| !is_clear) })
        }
        Holds::Secret | Holds::Name => {
            let secret = inner_start..value_end;
            Some(Found { hidden: Some(start..line.len()), values: vec![secret], carry })
        }
    }
}

/// What stands in quotes, and whether they are closed and followed by the end of a value. A number, or a word without quotes, is
/// closed too.
fn unquoted(value: &str) -> (&str, bool) {
    let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        let bare = value.trim_end();
        let bare = bare.trim_end_matches([',', '}', ']']).trim_end();
        return (bare, true);
    };
    let inner = &value[1..];
    match inner.split_once(quote) {
        Some((address, rest)) if ends_value(rest) => (address, true),
        _ => (inner, false),
    }
}

fn ends_value(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with([',', '}', ']', '#'])
}

/// The words of a line that may be keys, and whether each is the first of the line.
fn words(line: &str) -> impl Iterator<Item = (Range<usize>, bool)> {
    let is_letter = |letter: char| letter.is_alphanumeric() || "_-.\\".contains(letter);
    let mut from = 0;
    let mut is_first = true;
    std::iter::from_fn(move || {
        let start = from + line[from..].find(is_letter)?;
        let end = line[start..].find(|letter| !is_letter(letter)).map_or(line.len(), |length| start + length);
        from = end;
        // A list's dash is no word.
        let word_start =
            start + (line[start..end].len() - line[start..end].trim_start_matches(['-', '.']).len());
        let first = is_first;
        is_first = first && word_start == end;
        Some((word_start..end, first && !line.trim_start().starts_with('[')))
    })
    .filter(|(word, _)| !word.is_empty() && !line[..word.start].ends_with("${"))
}

/// Where the value of a key begins that ends at `end`: behind a quote and `=` or `:`, or for the first word of a line behind
/// whatever was written in their place.
fn value_after(line: &str, end: usize, is_first: bool) -> Option<usize> {
    let rest = &line[end..];
    let behind = rest.trim_start_matches(['"', '\'', '`', ' ', '\t', '\\']);
    let is_key = behind.starts_with(['=', ':']) && !behind.starts_with("://");
    if !is_key && (!is_first || rest.starts_with(['/', '(', '@'])) {
        return None;
    }
    let value = if is_key { behind.trim_start_matches(['=', ':', '>', ' ', '\t']) } else { behind };
    Some(line.len() - value.len())
}

/// Whether a line has a key of its own: `key = ..`, `"key": ..`, `[table]`.
pub(super) fn is_entry(line: &str) -> bool {
    let line = line.trim_start();
    let key = line.trim_start_matches(['"', '\'']);
    let end =
        key.find(|letter: char| !letter.is_alphanumeric() && !"_-.".contains(letter)).unwrap_or(key.len());
    let behind = key[end..].trim_start_matches(['"', '\'']).trim_start();
    let is_table = line.starts_with('[') && line.trim_end().ends_with(']');
    is_table || (end > 0 && behind.starts_with(['=', ':']) && !behind.starts_with("://"))
}
