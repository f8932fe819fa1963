//! JSON to tree. `serde_json` does not say where values stand, so only a syntax error has a place.

use serde_json::Value;

use super::{Content, Entry, Node, Place, Problem, place::span_at};

pub(super) fn parse(text: &str) -> Result<Node, Box<Problem>> {
    serde_json::from_str(text).map(from_value).map_err(|error| Box::new(json_problem(text, "JSON", &error)))
}

/// What `serde_json` says, without the line and column at its end: they become the place. `expected` is what the text
/// should be, where it is JSON after all.
#[must_use]
pub fn json_problem(text: &str, expected: &str, error: &serde_json::Error) -> Problem {
    let words = error.to_string();
    let message = words.rsplit_once(" at line ").map_or(words.as_str(), |(message, _)| message);
    let expected = if error.is_data() { expected } else { "JSON" };
    Problem::new("", format!("this is not {expected}: {message}")).at(Place::Span(span_at(
        text,
        error.line(),
        error.column(),
    )))
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
