//! A value that goes on over the next lines.

use super::line::{Found, is_entry};

/// Why the next line belongs to a value that must be hidden.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Carry {
    /// It goes on until these quotes.
    Quoted(&'static str),
    /// It goes on until so many brackets are closed.
    Bracketed(usize),
    /// It goes on as long as lines are indented deeper than this.
    Indented(usize),
    /// Nothing of it stood beside its key, which is indented by so much.
    Below(usize),
}

impl Carry {
    /// What follows `line`, whose secret begins with `value`.
    pub(super) fn after(line: &str, value: &str) -> Option<Self> {
        let value = value.trim();
        for quotes in ["\"\"\"", "'''"] {
            if let Some(inner) = value.strip_prefix(quotes) {
                return (!inner.contains(quotes)).then_some(Self::Quoted(quotes));
            }
        }
        for quote in ["\"", "'"] {
            if let Some(inner) = value.strip_prefix(quote) {
                return (!inner.contains(quote)).then_some(Self::Quoted(quote));
            }
        }
        if let Some(open) = open_brackets(value) {
            return Some(Self::Bracketed(open));
        }
        let is_empty = value.is_empty() || value.starts_with(['|', '>', '#', '&', '!']);
        Some(if is_empty { Self::Below(indent(line)) } else { Self::Indented(indent(line)) })
    }

    /// What must be hidden of the next line, and what follows it. Nothing if the value has ended.
    pub(super) fn line(self, line: &str) -> Option<Found> {
        let hide = |carry| {
            let found = Found::all(indent(line)..line.len(), carry);
            // An entry after a broken value has words of its own.
            Some(if is_entry(line) { Found { values: Vec::new(), ..found } } else { found })
        };
        if line.trim().is_empty() {
            return hide(Some(self));
        }
        match self {
            Self::Quoted(quotes) if line.contains(quotes) => hide(None),
            Self::Quoted(_) => hide(Some(self)),
            Self::Bracketed(open) => {
                let closed = line.matches([']', '}']).count();
                let open = (open + line.matches(['[', '{']).count()).saturating_sub(closed);
                hide((open > 0).then_some(Self::Bracketed(open)))
            }
            Self::Indented(key) if indent(line) > key => hide(Some(self)),
            Self::Indented(_) => None,
            Self::Below(key) if indent(line) > key => hide(Some(self)),
            Self::Below(key) if line.trim_start().starts_with("- ") && indent(line) == key => {
                hide(Some(self))
            }
            Self::Below(_) if is_entry(line) => None,
            Self::Below(key) => hide(Some(Self::Indented(key))),
        }
    }
}

fn open_brackets(value: &str) -> Option<usize> {
    let open = value.matches(['[', '{']).count();
    let open = open.saturating_sub(value.matches([']', '}']).count());
    (value.starts_with(['[', '{']) && open > 0).then_some(open)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
