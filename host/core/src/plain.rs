//! Text of others in places where people read it: terminals, logs and tables. Every output of this project goes through here.
//!
//! A terminal obeys control characters (colours, titles, the clipboard), and format characters change the order in which the rest of a
//! line appears (<https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>): with either, a value of a row could show
//! something else than what it is.

use std::{borrow::Cow, fmt::Write as _};

/// The text with a replacement character for each character that is obeyed and not shown, but for line feeds and tabs.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_obeyed) {
        Cow::Owned(text.replace(is_obeyed, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same on one line: line breaks are written out, so that nobody can write another line of a log.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    let text = text.trim_end_matches(['\r', '\n']);
    if !text.contains(['\r', '\n']) {
        return plain(text);
    }
    Cow::Owned(plain(&text.replace("\r\n", "\n").replace('\n', "\\n")).into_owned())
}

/// The same with as many bytes as before, for a text that offsets point into.
#[must_use]
pub fn plain_bytes(text: &str) -> Cow<'_, str> {
    // The carriage return of a line's end is no part of the line.
    let is_wrong = |letter: char| is_obeyed(letter) && letter != '\r';
    if !text.chars().any(is_wrong) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_wrong(letter) {
            shown.extend(std::iter::repeat_n('?', letter.len_utf8()));
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// A JSON text (RFC 8259) with such characters escaped: it means the same, and a terminal or an editor obeys nothing in it.
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_obeyed) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        if is_obeyed(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a terminal, or what lays out a line, obeys a character: the general categories Cc, Cf, Zl and Zp of Unicode 16, but for line feed
/// and tab.
#[must_use]
pub fn is_obeyed(letter: char) -> bool {
    match letter {
        '\n' | '\t' | ' '..='~' => false,
        _ if letter.is_control() => true,
        _ => FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&letter)),
    }
}

/// Format characters (Cf) and the separators of lines and paragraphs (Zl, Zp).
const FORMAT: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, strategy::ValueTree as _};

    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_or_a_log_obeys() {
        assert_eq!(plain("a\0b\u{1b}[31mc\r\nd\te\u{9b}"), "a\u{fffd}b\u{fffd}[31mc\u{fffd}\nd\te\u{fffd}");
        assert_eq!(plain("\u{202e}drow\u{2066}x\u{2028}"), "\u{fffd}drow\u{fffd}x\u{fffd}");
        assert_eq!(one_line("panicked:\r\nboom\n"), "panicked:\\nboom");
        assert_eq!(one_line("a\rb"), "a\u{fffd}b");
        assert!(matches!(plain("h\u{e9}llo\n"), Cow::Borrowed(_)));
        assert!(matches!(one_line("h\u{e9}llo"), Cow::Borrowed(_)));
    }

    /// The table against the one that `proptest` has of Unicode.
    #[test]
    fn the_table_has_every_character_of_these_categories() {
        let runner = &mut proptest::test_runner::TestRunner::deterministic();
        let wrong = proptest::string::string_regex("[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]").unwrap();
        let right = proptest::string::string_regex("[^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]").unwrap();
        let draw = |strategy: &proptest::string::RegexGeneratorStrategy<String>, runner: &mut _| {
            strategy.new_tree(runner).unwrap().current().chars().next().unwrap()
        };
        for _ in 0..20_000 {
            let letter = draw(&wrong, runner);
            assert!(is_obeyed(letter) || matches!(letter, '\n' | '\t'), "{letter:?}");
            let letter = draw(&right, runner);
            assert!(!is_obeyed(letter), "{letter:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_text_is(text in any::<String>()) {
            prop_assert!(!plain(&text).chars().any(is_obeyed));
            prop_assert!(!one_line(&text).chars().any(|letter| is_obeyed(letter) || letter == '\n'));
            let same_bytes = plain_bytes(&text);
            prop_assert_eq!(same_bytes.len(), text.len());
            prop_assert!(!same_bytes.chars().any(|letter| is_obeyed(letter) && letter != '\r'));
            let json = serde_json::to_string(&text).unwrap();
            let escaped = plain_json(&json);
            prop_assert!(!escaped.chars().any(is_obeyed));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
