//! How a database stores texts, and what of a text it can store.

use serde_json::Value;

/// The encoding of a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    /// Every character.
    Utf8,
    /// The first 256.
    Latin1,
    /// Bytes without a meaning.
    SqlAscii,
    /// Some set of characters, ASCII among them.
    Other,
}

impl Encoding {
    /// By PostgreSQL's name.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "UTF8" => Self::Utf8,
            "LATIN1" => Self::Latin1,
            "SQL_ASCII" => Self::SqlAscii,
            _ => Self::Other,
        }
    }

    /// The text with characters replaced that can not be stored: what a receiver answered must not keep its delivery from
    /// ending. U+0000 can be stored nowhere.
    pub(super) fn storable(self, text: &str) -> String {
        let replacement = if self.holds('\u{fffd}') { '\u{fffd}' } else { '?' };
        text.chars().map(|c| if self.holds(c) { c } else { replacement }).collect()
    }

    /// The text of a JSON value, with escapes for characters that can not be stored: it is the same value.
    pub(super) fn storable_json(self, value: &Value) -> String {
        let text = value.to_string();
        if text.chars().all(|c| self.holds(c)) {
            return text;
        }
        let mut escaped = String::with_capacity(text.len() * 2);
        for c in text.chars() {
            if self.holds(c) {
                escaped.push(c);
            } else {
                escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        escaped
    }

    const fn holds(self, c: char) -> bool {
        match self {
            Self::Utf8 | Self::SqlAscii => c != '\0',
            Self::Latin1 => c != '\0' && c <= '\u{ff}',
            Self::Other => c != '\0' && c.is_ascii(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_can_not_be_stored_are_replaced() {
        let text = "caf\u{e9} \u{65e5}\u{672c} \0";
        assert_eq!(Encoding::Utf8.storable(text), "caf\u{e9} \u{65e5}\u{672c} \u{fffd}");
        assert_eq!(Encoding::Latin1.storable(text), "caf\u{e9} ?? ?");
        assert_eq!(Encoding::Other.storable(text), "caf? ?? ?");
    }
}
