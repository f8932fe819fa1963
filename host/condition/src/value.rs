//! The values that conditions compare. It knows which of them can be compared, and nothing of where they come from.

use std::{cmp::Ordering, fmt};

use aftercommit_core::number::{self, Decimal};
use serde_json::Value;

use crate::text::Text;

/// The types of JSON, as far as conditions tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// `null`, or nothing at all.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A decimal number.
    Number,
    /// Text.
    Text,
    /// A list of values.
    Array,
    /// Values with names.
    Object,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// A value to compare, borrowed from a row or a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Datum<'a> {
    /// Null or missing.
    Null,
    Boolean(bool),
    Number(Decimal<&'a str>),
    Text(Text<&'a str>),
    Array(&'a Value),
    Object(&'a Value),
}

impl<'a> From<&'a Value> for Datum<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(boolean) => Self::Boolean(*boolean),
            Value::Number(number) => Self::Number(Decimal::new(number.as_str())),
            Value::String(text) => Self::Text(Text::of_row(text)),
            Value::Array(_) => Self::Array(value),
            Value::Object(_) => Self::Object(value),
        }
    }
}

impl<'a> From<Option<&'a Value>> for Datum<'a> {
    fn from(value: Option<&'a Value>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

impl Datum<'_> {
    pub(crate) const fn type_of(self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Boolean(_) => Type::Boolean,
            Self::Number(_) => Type::Number,
            Self::Text(_) => Type::Text,
            Self::Array(_) => Type::Array,
            Self::Object(_) => Type::Object,
        }
    }

    pub(crate) const fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether both are the same value; `None` when they are of different types.
    pub(crate) fn equals(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::Null, Self::Null) => Some(true),
            (Self::Boolean(left), Self::Boolean(right)) => Some(left == right),
            (Self::Number(left), Self::Number(right)) => Some(left.compare(&right) == Ordering::Equal),
            (Self::Text(left), Self::Text(right)) => Some(left.equals(right)),
            (Self::Array(left), Self::Array(right)) | (Self::Object(left), Self::Object(right)) => {
                Some(number::same(left, right))
            }
            _ => None,
        }
    }

    /// Whether an array's element is what is looked for. Texts are the same letter by letter only.
    pub(crate) fn is_element(self, element: &Value) -> bool {
        match (self, element) {
            (Self::Text(text), Value::String(element)) => text.as_str() == element,
            _ => self.equals(element.into()) == Some(true),
        }
    }

    /// Which is greater: numbers by value, texts by code point or as instants. `None` for all other types, and for different ones.
    pub(crate) fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => Some(left.compare(&right)),
            (Self::Text(left), Self::Text(right)) => Some(left.order(right)),
            _ => None,
        }
    }
}
