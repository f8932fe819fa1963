//! Words of commands that are suggested to a person, who copies them into a shell.

use std::borrow::Cow;

use crate::plain::is_obeyed;

/// A text as a POSIX shell takes it for one word (IEEE Std 1003.1-2024, Shell Command Language, 2.2): as it is if nothing in it has a meaning there,
/// else in single quotes. A control or format character, which no terminal passes on as it is, becomes `?`, which names another thing: better
/// than a command that does something else.
///
/// ```
/// # use aftercommit_core::shell_word;
/// assert_eq!(shell_word("orders"), "orders");
/// assert_eq!(shell_word("o'r $(reboot)"), r"'o'\''r $(reboot)'");
/// ```
#[must_use]
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_harmless = |letter: char| letter.is_ascii_alphanumeric() || "_.-/:@%+,=".contains(letter);
    if !text.is_empty() && text.chars().all(is_harmless) && !text.starts_with('=') {
        return Cow::Borrowed(text);
    }
    let shown = text.replace(is_obeyed, "?").replace('\'', r"'\''");
    Cow::Owned(format!("'{shown}'"))
}

/// A command with the thing that it is about and the options after it, which are words already. Behind `--` where the thing could be read as
/// an option.
///
/// ```
/// # use aftercommit_core::shell_command;
/// assert_eq!(shell_command("capture add", "my orders", "--entity Order"), "aftercommit capture add 'my orders' --entity Order");
/// assert_eq!(shell_command("capture add", "-rf", "--entity Order"), "aftercommit capture add --entity Order -- -rf");
/// ```
#[must_use]
pub fn shell_command(command: &str, operand: &str, options: &str) -> String {
    let word = shell_word(operand);
    let parts = if operand.starts_with('-') { [options, "--", &word] } else { [&*word, options, ""] };
    parts
        .iter()
        .filter(|part| !part.is_empty())
        .fold(format!("aftercommit {command}"), |line, part| line + " " + part)
}

/// An option with its value: `--entity Order`. With `=` where the value could be read as an option.
///
/// ```
/// # use aftercommit_core::shell_option;
/// assert_eq!(shell_option("--entity", "My Order"), "--entity 'My Order'");
/// assert_eq!(shell_option("--entity", "-x"), "--entity=-x");
/// ```
#[must_use]
pub fn shell_option(option: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("{option}{between}{}", shell_word(value))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What a shell passes on.
    fn through_a_shell(words: &str) -> Vec<String> {
        let script = format!("printf '%s\\0' {words}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_takes_a_word_for_what_it_is() {
        for text in [
            "orders",
            "",
            "a b",
            "it's",
            "'",
            "''",
            "\\",
            "$(touch /tmp/x)",
            "`id`",
            "$HOME",
            "*",
            "~",
            "#c",
            "a;b",
            "a|b",
            "a&b",
            "a\nb",
            "a\tb",
            "!x",
            "{a,b}",
            "x=1",
            "-rf",
            "\u{e9}\u{1f980}",
            "\"public\".\"my orders\"",
        ] {
            assert_eq!(through_a_shell(&shell_word(text)), [text], "{text}");
        }
        assert_eq!(through_a_shell(&shell_word("a\u{1b}]0;x\u{7}b\u{202e}\r")), ["a?]0;x?b??"]);
        let command = shell_command("capture add", "-b c", &shell_option("--entity", "it's"));
        assert_eq!(
            through_a_shell(&command),
            ["aftercommit", "capture", "add", "--entity", "it's", "--", "-b c"]
        );
        assert_eq!(through_a_shell(&shell_option("--entity", "it's")), ["--entity", "it's"]);
        assert_eq!(through_a_shell(&shell_option("--entity", "-x y")), ["--entity=-x y"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_one_word(text in "[^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]{0,12}") {
            prop_assert_eq!(through_a_shell(&shell_word(&text)), [text]);
        }
    }
}
