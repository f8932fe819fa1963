//! YAML to tree.

use std::{fmt, str::FromStr as _};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;
use serde_saphyr::{Location, Spanned};

use super::{Content, Entry, Node, Place, Problem, place::span_at};

/// An observer's action has seven levels. The parser recurses, and threads have stacks of 2 MiB.
const MAX_DEPTH: usize = 24;

pub(super) fn parse(text: &str) -> Result<Node, Box<Problem>> {
    let options = serde_saphyr::options! { budget: serde_saphyr::budget! { max_depth: MAX_DEPTH } };
    match serde_saphyr::from_str_with_options::<Spanned<Loose>>(text, options) {
        Ok(root) => node(text, root),
        Err(error) => {
            let error = error.without_snippet();
            let place =
                error.location().map_or(Place::Unknown, |location| Place::Span(bytes(text, &location)));
            let words = error.to_string();
            let message = words.lines().next().unwrap_or_default();
            Err(Box::new(Problem::new("", format!("this is not YAML: {message}")).at(place)))
        }
    }
}

/// A YAML value before its numbers have their digits back.
enum Loose {
    Null,
    Bool(bool),
    /// The nearest number the parser could make; the digits stand in the text.
    Number(Option<Number>),
    Text(String),
    List(Vec<Spanned<Loose>>),
    Table(Vec<(Spanned<String>, Spanned<Loose>)>),
}

fn node(text: &str, spanned: Spanned<Loose>) -> Result<Node, Box<Problem>> {
    let span = bytes(text, &spanned.defined);
    let content = match spanned.value {
        Loose::Null => Content::Null,
        Loose::Bool(value) => Content::Bool(value),
        Loose::Number(nearest) => {
            let written = text.get(span.clone()).unwrap_or_default().trim();
            let number = Number::from_str(written).ok().or(nearest).ok_or_else(|| {
                let problem = Problem::new("", format!("`{written}` is not a number that JSON can hold"));
                Box::new(problem.at(Place::Span(span.clone())))
            })?;
            Content::Number(number)
        }
        Loose::Text(value) => Content::Text(value),
        Loose::List(values) => {
            Content::List(values.into_iter().map(|value| node(text, value)).collect::<Result<_, _>>()?)
        }
        Loose::Table(pairs) => Content::Table(
            pairs
                .into_iter()
                .map(|(key, value)| {
                    let place = Place::Span(bytes(text, &key.defined));
                    Ok(Entry { key: key.value, place, value: node(text, value)? })
                })
                .collect::<Result<_, Box<Problem>>>()?,
        ),
    };
    Ok(Node::new(content, Some(span)))
}

fn bytes(text: &str, location: &Location) -> std::ops::Range<usize> {
    let span = location.span();
    let known = span.byte_offset().zip(span.byte_len()).and_then(|(offset, length)| {
        let start = usize::try_from(offset).ok()?;
        let range = start..start.checked_add(usize::try_from(length).ok()?)?;
        text.get(range.clone()).map(|_| range)
    });
    known.unwrap_or_else(|| {
        let [line, column] = [location.line(), location.column()].map(|n| usize::try_from(n).unwrap_or(1));
        span_at(text, line, column)
    })
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Null)
    }

    fn visit_none<E>(self) -> Result<Loose, E> {
        Ok(Loose::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Loose, D::Error> {
        Loose::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Loose, E> {
        Ok(Loose::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Loose, E> {
        Ok(Loose::Number(Some(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Loose, E> {
        Ok(Loose::Number(Some(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Loose, E> {
        Ok(Loose::Number(Number::from_i128(value)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Loose, E> {
        Ok(Loose::Number(Number::from_u128(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Loose, E> {
        Ok(Loose::Number(Number::from_f64(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Loose, E> {
        Ok(Loose::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Loose, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Loose::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Loose, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Loose::Table(table))
    }
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
            json(
                "z: 0.10000000000000000001\nbig: 123456789012345678901234567890\na: 7\nt: '7'\nn: ~\nb: true"
            ),
            r#"{"z":0.10000000000000000001,"big":123456789012345678901234567890,"a":7,"t":"7","n":null,"b":true}"#
        );
    }

    #[test]
    fn an_alias_is_the_value_it_names() {
        assert_eq!(json("a: &x {k: 1.50}\nb: *x"), r#"{"a":{"k":1.50},"b":{"k":1.50}}"#);
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let problem = parse("a: [1, 2\nb: 3\n").unwrap_err();
        assert!(matches!(problem.place, Place::Span(_)), "{problem:?}");
    }
}
