//! How values are written into a template's text: the values of the schema mark `x-template`.

use std::fmt::Write as _;

/// What text the template makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Escaping {
    /// JSON. `{{x}}` is the inside of a string, `{{{x}}}` a value: `{"name":"{{name}}","total":{{{total}}}}`.
    Json,
    /// HTML, text and quoted attributes: `& < > " '` become references.
    Html,
    /// Plain text: nothing is escaped.
    Text,
    /// A part of a URL's path or query: everything but letters, digits and `-._~` is percent-encoded (RFC 3986, 2.3).
    Url,
    /// Slack's message text: `& < >` become references, so data can not mention people or make links.
    Slack,
    /// JSON whose strings Slack reads as message text (Block Kit): as `Slack`, then as `Json`.
    SlackJson,
    /// A pattern of Redis: `* ? [ ] ^ -` and backslashes stand for themselves, so data can not match more than itself.
    Glob,
}

impl Escaping {
    pub(crate) const ALL: [Self; 7] =
        [Self::Json, Self::Html, Self::Text, Self::Url, Self::Slack, Self::SlackJson, Self::Glob];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Text => "text",
            Self::Url => "url",
            Self::Slack => "slack",
            Self::SlackJson => "slack-json",
            Self::Glob => "glob",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|escaping| escaping.as_str() == name)
    }

    /// Whether the text that the template makes is JSON, so that a raw value is written as JSON.
    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::SlackJson)
    }

    /// Appends a text, escaped.
    pub(crate) fn escape_into(self, text: &str, out: &mut String) {
        match self {
            Self::Json => json(text, out),
            Self::SlackJson => {
                let mut message = String::with_capacity(text.len());
                Self::Slack.escape_into(text, &mut message);
                json(&message, out);
            }
            Self::Text => out.push_str(text),
            Self::Html | Self::Slack => {
                for letter in text.chars() {
                    match letter {
                        '&' => out.push_str("&amp;"),
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        '"' if self == Self::Html => out.push_str("&quot;"),
                        '\'' if self == Self::Html => out.push_str("&#39;"),
                        letter => out.push(letter),
                    }
                }
            }
            Self::Glob => {
                for letter in text.chars() {
                    if matches!(letter, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
                        out.push('\\');
                    }
                    out.push(letter);
                }
            }
            Self::Url => {
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        out.push(char::from(byte));
                    } else {
                        let _ = write!(out, "%{byte:02X}");
                    }
                }
            }
        }
    }
}

/// The inside of a JSON string (RFC 8259, 7).
fn json(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escapes_what_would_break_out() {
        let text = "a\"b\\c<d>&'e/\u{1}é\n";
        for (escaping, expected) in [
            (Escaping::Json, "a\\\"b\\\\c<d>&'e/\\u0001é\\n"),
            (Escaping::Html, "a&quot;b\\c&lt;d&gt;&amp;&#39;e/\u{1}é\n"),
            (Escaping::Text, text),
            (Escaping::Url, "a%22b%5Cc%3Cd%3E%26%27e%2F%01%C3%A9%0A"),
            (Escaping::Slack, "a\"b\\c&lt;d&gt;&amp;'e/\u{1}é\n"),
            (Escaping::SlackJson, "a\\\"b\\\\c&lt;d&gt;&amp;'e/\\u0001é\\n"),
            (Escaping::Glob, "a\"b\\\\c<d>&'e/\u{1}é\n"),
        ] {
            let mut out = String::new();
            escaping.escape_into(text, &mut out);
            assert_eq!(out, expected, "{escaping:?}");
        }
    }

    #[test]
    fn a_value_is_no_pattern() {
        let mut out = String::new();
        Escaping::Glob.escape_into("*?[a-z]^x{y}", &mut out);
        assert_eq!(out, "\\*\\?\\[a\\-z\\]\\^x{y}");
    }
}
