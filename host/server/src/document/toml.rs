//! TOML to tree.

use std::str::FromStr as _;

use serde_json::Number;
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{Content, Entry, Node, Place, Problem};

pub(super) fn parse(text: &str) -> Result<Node, Box<Problem>> {
    let root = DeTable::parse(text).map_err(|error| {
        let place = error.span().map_or(Place::Unknown, Place::Span);
        Box::new(Problem::new("", format!("this is not TOML: {}", error.message())).at(place))
    })?;
    let span = root.span();
    Ok(Node::new(table(root.get_ref())?, Some(span)))
}

fn table(table: &DeTable<'_>) -> Result<Content, Box<Problem>> {
    let mut entries = table
        .iter()
        .map(|(key, value)| {
            let place = Place::Span(key.span());
            Ok((key.span().start, Entry { key: key.get_ref().to_string(), place, value: node(value)? }))
        })
        .collect::<Result<Vec<_>, Box<Problem>>>()?;
    // The parser sorts by name; people expect their own order.
    entries.sort_by_key(|(start, _)| *start);
    Ok(Content::Table(entries.into_iter().map(|(_, entry)| entry).collect()))
}

fn node(value: &Spanned<DeValue<'_>>) -> Result<Node, Box<Problem>> {
    let content = match value.get_ref() {
        DeValue::String(text) => Content::Text(text.to_string()),
        DeValue::Boolean(value) => Content::Bool(*value),
        DeValue::Datetime(at) => Content::Text(at.to_string()),
        DeValue::Integer(integer) => Content::Number(number(&decimal(integer), value)?),
        DeValue::Float(float) => Content::Number(number(float.as_str(), value)?),
        DeValue::Array(values) => Content::List(values.iter().map(node).collect::<Result<_, _>>()?),
        DeValue::Table(entries) => table(entries)?,
    };
    Ok(Node::new(content, Some(value.span())))
}

/// The integer's digits to the base of ten.
fn decimal(integer: &DeInteger<'_>) -> String {
    if integer.radix() == 10 {
        return integer.as_str().to_owned();
    }
    i128::from_str_radix(integer.as_str(), integer.radix())
        .map_or_else(|_| integer.to_string(), |value| value.to_string())
}

fn number(digits: &str, value: &Spanned<DeValue<'_>>) -> Result<Number, Box<Problem>> {
    Number::from_str(digits.trim_start_matches('+')).map_err(|_| {
        let problem = Problem::new("", format!("`{digits}` is not a number that JSON can hold"));
        Box::new(problem.at(Place::Span(value.span())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        parse(text).unwrap().to_json().to_string()
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(
            json("z = 0.10000000000000000001\na = 1_000\nh = 0xff\np = +7\nn = -0.0"),
            r#"{"z":0.10000000000000000001,"a":1000,"h":255,"p":7,"n":-0.0}"#
        );
    }

    #[test]
    fn dates_are_text_and_infinity_is_refused() {
        assert_eq!(json("at = 2026-01-01T00:00:00Z"), r#"{"at":"2026-01-01T00:00:00Z"}"#);
        assert!(parse("x = inf").unwrap_err().message.contains("`inf`"));
    }
}
