//! How many messages a text is on the air: what is billed (3GPP TS 23.038, 6.2.1, and TS 23.040, 9.2.3.24.1).

/// What is sent for a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segments {
    pub(crate) encoding: Encoding,
    /// At least 1.
    pub(crate) count: usize,
}

/// How the letters are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// The GSM 7-bit default alphabet and its extension.
    Gsm7,
    /// UTF-16 code units, for any text with another letter.
    Ucs2,
}

impl Encoding {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }

    /// Units of a message alone, and of one that is part of a longer text: its header takes 6 bytes.
    const fn room(self) -> (usize, usize) {
        match self {
            Self::Gsm7 => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }

    /// Units of a letter, which are never divided between two messages.
    fn width(self, letter: char) -> usize {
        match self {
            Self::Gsm7 => gsm7_width(letter).unwrap_or(1),
            Self::Ucs2 => letter.len_utf16(),
        }
    }
}

/// The default alphabet, in its own order.
const DEFAULT_ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                                ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The extension: each takes an escape and a second unit.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

fn gsm7_width(letter: char) -> Option<usize> {
    if DEFAULT_ALPHABET.contains(letter) { Some(1) } else { EXTENSION.contains(letter).then_some(2) }
}

/// Counts what a text needs.
pub(crate) fn of(text: &str) -> Segments {
    let gsm7 = text.chars().all(|letter| gsm7_width(letter).is_some());
    let encoding = if gsm7 { Encoding::Gsm7 } else { Encoding::Ucs2 };
    let (alone, part) = encoding.room();
    let units: usize = text.chars().map(|letter| encoding.width(letter)).sum();
    if units <= alone {
        return Segments { encoding, count: 1 };
    }
    let (mut count, mut used) = (1, 0);
    for letter in text.chars() {
        let width = encoding.width(letter);
        if used + width > part {
            count += 1;
            used = 0;
        }
        used += width;
    }
    Segments { encoding, count }
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_ALPHABET, EXTENSION, Encoding, of};

    #[test]
    fn the_alphabet_is_whole() {
        // 128 places, of which one is the escape.
        assert_eq!((DEFAULT_ALPHABET.chars().count(), EXTENSION.chars().count()), (127, 10));
    }

    #[test]
    fn segments_are_counted() {
        for (text, encoding, count) in [
            (String::new(), Encoding::Gsm7, 1),
            ("a".repeat(160), Encoding::Gsm7, 1),
            ("a".repeat(161), Encoding::Gsm7, 2),
            ("a".repeat(306), Encoding::Gsm7, 2),
            ("a".repeat(307), Encoding::Gsm7, 3),
            ("€".repeat(80), Encoding::Gsm7, 1),
            ("€".repeat(81), Encoding::Gsm7, 2),
            // 153 is odd: an escape does not stand at the end of one message with its letter in the next.
            ("€".repeat(152), Encoding::Gsm7, 2),
            ("€".repeat(153), Encoding::Gsm7, 3),
            ("ä€[ÅΩ\n".to_owned(), Encoding::Gsm7, 1),
            ("я".repeat(70), Encoding::Ucs2, 1),
            ("я".repeat(71), Encoding::Ucs2, 2),
            ("я".repeat(134), Encoding::Ucs2, 2),
            ("я".repeat(135), Encoding::Ucs2, 3),
            ("😀".repeat(35), Encoding::Ucs2, 1),
            // A pair of surrogates is not divided: 33 of them in each message.
            ("😀".repeat(66), Encoding::Ucs2, 2),
            ("😀".repeat(67), Encoding::Ucs2, 3),
            // The known answers of Twilio's own calculator (twilio/message-segment-calculator, tests/index.test.js).
            (format!("{{{}", "1".repeat(158)), Encoding::Gsm7, 1),
            (format!("{{{}", "1".repeat(159)), Encoding::Gsm7, 2),
            (format!("😜{}", "1".repeat(68)), Encoding::Ucs2, 1),
            (format!("😜{}", "1".repeat(69)), Encoding::Ucs2, 2),
            // An escape that would be the 153rd unit of a part begins the next.
            (format!("{}€{}", "a".repeat(152), "a".repeat(151)), Encoding::Gsm7, 2),
            (format!("{}€{}", "a".repeat(152), "a".repeat(152)), Encoding::Gsm7, 3),
            // So does a pair of surrogates that would be divided at the 67th.
            (format!("{}😜{}", "я".repeat(66), "я".repeat(65)), Encoding::Ucs2, 2),
            (format!("{}😜{}", "я".repeat(66), "я".repeat(66)), Encoding::Ucs2, 3),
            // All letters of the extension, also the form feed.
            (EXTENSION.repeat(8), Encoding::Gsm7, 1),
            // Letters that look like those of the alphabet: a typographic quote, an accent of its own, a small c with cedilla.
            ("“a”".to_owned(), Encoding::Ucs2, 1),
            ("e\u{301}".to_owned(), Encoding::Ucs2, 1),
            // One letter that GSM does not have makes all of them wide.
            (format!("{}ç", "a".repeat(70)), Encoding::Ucs2, 2),
        ] {
            let found = of(&text);
            assert_eq!((found.encoding, found.count), (encoding, count), "{} letters", text.chars().count());
        }
    }
}
