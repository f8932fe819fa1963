//! JSON values as TOML writes them on one line, and comments.

use std::fmt::Write as _;

use aftercommit_core::plain::plain;
use serde_json::Value;

/// A value behind `key =`. The error says what TOML can not hold.
pub(super) fn value(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Err("TOML has no null".to_owned()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => {
            let digits = number.to_string();
            let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            if is_whole && digits.parse::<i64>().is_err() {
                return Err(format!("TOML has no whole number as large as {digits}"));
            }
            Ok(digits)
        }
        Value::String(words) => Ok(text(words)),
        Value::Array(items) => {
            let items = items.iter().map(self::value).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        Value::Object(entries) => {
            let entries =
                entries.iter().map(|(name, value)| Ok(format!("{} = {}", key(name), self::value(value)?)));
            let entries = entries.collect::<Result<Vec<_>, String>>()?;
            Ok(if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) })
        }
    }
}

/// A key, with quotes where it needs them.
pub(super) fn key(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { name.to_owned() } else { text(name) }
}

/// A basic string (TOML 1.0, "String").
pub(super) fn text(words: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in words.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// Each line as a comment. A row may hold anything, and a comment may hold no control characters.
pub(super) fn comment(words: &str) -> String {
    let words = plain(words);
    let lines = words.lines().map(|line| {
        let line: String =
            line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        format!("# {line}").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::document::{Document, Format};

    /// What our own reader makes of it.
    fn read(text: &str) -> Value {
        Document::parse("t", text, Format::Toml).unwrap().root.to_json()
    }

    #[test]
    fn values_are_read_as_they_were() {
        let all = json!({"n": -5, "exact": 1, "deep": {"a b": [true, {}, [], {"c": "x\n\"y\"\\ \u{7f}\u{1}é"}]}, "": "empty"});
        assert_eq!(read(&format!("v = {}", value(&all).unwrap()))["v"], all);
        let exact: Value = serde_json::from_str("[1.10, 1e5, -0.5, 9223372036854775807]").unwrap();
        assert_eq!(read(&format!("v = {}", value(&exact).unwrap()))["v"][0].to_string(), "1.10");
        assert!(value(&json!([null])).unwrap_err().contains("null"));
        let large: Value = serde_json::from_str("9223372036854775808").unwrap();
        assert!(value(&large).unwrap_err().contains("9223372036854775808"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_it_was(words in any::<String>(), name in any::<String>()) {
            let written = format!("{}v = {}\n", comment(&words), value(&json!({ name.clone(): words.clone() })).unwrap());
            prop_assert_eq!(&read(&written)["v"][&name], &json!(words));
        }
    }
}
