//! JSON to tree. `serde_json` does not say where values stand, so only a syntax error and a repeated key have a place.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Content, Entry, Node, Place, Problem, place::span_at};

pub(super) fn parse(text: &str) -> Result<Node, Box<Problem>> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| Box::new(json_problem(text, "JSON", &error)))?;
    // RFC 8259, section 4, leaves open what a repeated key means. TOML and YAML refuse it, and so does this: `serde_json`
    // would keep the last value and drop the others without a word.
    let unique: Result<UniqueKeys, _> = serde_json::from_str(text);
    unique.map_err(|error| Box::new(problem_at(text, &error, str::to_owned)))?;
    Ok(from_value(value))
}

/// Any JSON value without a repeated key in one of its objects; it holds nothing.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self, A::Error> {
        while values.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    /// Also called for a number that is no small integer: `serde_json` keeps its digits as an object of one key.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if let Some(key) = keys.replace(key) {
                return Err(A::Error::custom(format_args!("the key `{key}` appears twice")));
            }
            entries.next_value::<Self>()?;
        }
        Ok(self)
    }
}

/// A problem of `serde_json`, its line and column as the place. `expected` is what the text should be, where it is JSON
/// after all.
#[must_use]
pub fn json_problem(text: &str, expected: &str, error: &serde_json::Error) -> Problem {
    let expected = if error.is_data() { expected } else { "JSON" };
    problem_at(text, error, |message| format!("this is not {expected}: {message}"))
}

/// The message of `serde_json` ends with line and column: they become the place.
fn problem_at(text: &str, error: &serde_json::Error, message: impl FnOnce(&str) -> String) -> Problem {
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    Problem::new("", message(words)).at(Place::Span(span_at(text, error.line(), error.column())))
}

fn from_value(value: Value) -> Node {
    let content = match value {
        Value::Null => Content::Null,
        Value::Bool(value) => Content::Bool(value),
        Value::Number(number) => Content::Number(number),
        Value::String(text) => Content::Text(text),
        Value::Array(values) => Content::List(values.into_iter().map(from_value).collect()),
        Value::Object(map) => Content::Table(
            map.into_iter()
                .map(|(key, value)| Entry { key, place: Place::Unknown, value: from_value(value) })
                .collect(),
        ),
    };
    Node::new(content, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_refused_with_its_place() {
        for (text, at) in [
            (r#"{"a": 1, "a": 2}"#, 9),
            (r#"[{"n": {"a": 1.50, "b": [1, 1], "a": null}}]"#, 32),
            (r#"{"\u0061": 1, "a": 2}"#, 14),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.message, "the key `a` appears twice", "{text}");
            let Place::Span(span) = problem.place else { panic!("{text}: no place") };
            assert!((at..at + 4).contains(&span.start), "{text}: {span:?}");
        }
    }

    #[test]
    fn equal_keys_of_different_objects_are_accepted() {
        let text = r#"{"a":{"a":1.50},"b":[{"a":1},{"a":-2e+400}],"c":"a"}"#;
        assert_eq!(parse(text).unwrap().to_json().to_string(), text);
    }
}
