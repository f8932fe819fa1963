//! Text of a guest in places where people read it: terminals, logs and tables.

use std::borrow::Cow;

/// The text without control characters, but for line breaks and tabs. Terminals obey some of the others, and PostgreSQL's
/// text takes no NUL.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    replaced(text, |letter| letter.is_control() && !matches!(letter, '\n' | '\t'))
}

/// The same on one line, so that nobody can write another line of a log.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let text = text.trim_end_matches(['\r', '\n']);
    if !text.contains(['\r', '\n']) {
        return plain(text);
    }
    Cow::Owned(plain(&text.replace("\r\n", "\n").replace('\n', "\\n")).into_owned())
}

fn replaced(text: &str, wrong: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().any(&wrong) { Cow::Owned(text.replace(wrong, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_or_a_log_obeys() {
        assert_eq!(plain("a\0b\u{1b}[31mc\r\nd\te\u{9b}"), "a\u{fffd}b\u{fffd}[31mc\u{fffd}\nd\te\u{fffd}");
        assert_eq!(one_line("panicked:\r\nboom\n"), "panicked:\\nboom");
        assert_eq!(one_line("a\rb"), "a\u{fffd}b");
        assert!(matches!(plain("h\u{e9}llo\n"), Cow::Borrowed(_)));
        assert!(matches!(one_line("h\u{e9}llo"), Cow::Borrowed(_)));
    }
}
