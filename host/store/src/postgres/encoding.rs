//! How a database stores texts, and what of a text it can store.

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
        let (holds, replacement): (fn(char) -> bool, char) = match self {
            Self::Utf8 | Self::SqlAscii => (|c| c != '\0', '\u{fffd}'),
            Self::Latin1 => (|c| c != '\0' && c <= '\u{ff}', '?'),
            Self::Other => (|c| c != '\0' && c.is_ascii(), '?'),
        };
        text.chars().map(|c| if holds(c) { c } else { replacement }).collect()
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
