//! SQL expressions for a value, one for each type that it can have in a row.

use crate::{
    instant::{self, Instant},
    value::Type,
};

/// Which types a value can have, and how it is written as each of them.
#[derive(Clone, Default, Debug)]
pub(super) struct Value {
    /// Whether it is null; `None` when it never is.
    pub(super) null: Option<String>,
    pub(super) boolean: Option<Arm<String>>,
    pub(super) number: Option<Arm<Number>>,
    pub(super) text: Option<Arm<Text>>,
    /// A JSON value whose equality the database knows exactly.
    pub(super) document: Option<String>,
    /// Why nothing but null and changes can be seen of it.
    pub(super) opaque: Option<&'static str>,
}

/// One type of a value. Its conditions hold for values that are not null.
#[derive(Clone, Debug)]
pub(super) struct Arm<T> {
    /// When the value has this type; `None`: always.
    pub(super) when: Option<String>,
    /// Whether a person who compares the column has this type in mind: `NaN` is a text, in a column of numbers.
    pub(super) usual: bool,
    pub(super) value: T,
}

#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) sql: String,
    /// As it is written in the condition.
    pub(super) literal: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) sql: String,
    pub(super) time: Time,
}

/// Whether a text is a date-time of RFC 3339.
#[derive(Clone, Debug)]
pub(super) enum Time {
    Never,
    /// It depends on the row.
    Maybe,
    /// A literal that is one.
    Known(Instant<Box<str>>),
    /// The text of this `timestamptz`.
    Zoned(String),
}

impl<T> Arm<T> {
    pub(super) const fn always(value: T) -> Self {
        Self { when: None, usual: true, value }
    }
}

impl Value {
    pub(super) fn null(always: &str) -> Self {
        Self { null: Some(always.to_owned()), ..Self::default() }
    }

    pub(super) fn of_boolean(sql: String, null: Option<String>) -> Self {
        Self { null, boolean: Some(Arm::always(sql)), ..Self::default() }
    }

    pub(super) fn of_text(sql: String, time: Time, null: Option<String>) -> Self {
        Self { null, text: Some(Arm::always(Text { sql, time })), ..Self::default() }
    }

    /// A text of the condition itself, as `sql`.
    pub(super) fn of_literal(text: &str, sql: String) -> Self {
        let time = instant::read(text).map_or(Time::Never, |instant| Time::Known(instant.keep()));
        Self::of_text(sql, time, None)
    }

    pub(super) fn opaque(null: String, why: &'static str) -> Self {
        Self { null: Some(null), opaque: Some(why), ..Self::default() }
    }

    /// Whether it has one type only, whatever the row is: then a null is a null of SQL.
    pub(super) fn is_static(&self) -> bool {
        let arms = [
            self.boolean.as_ref().map(|arm| arm.when.is_none()),
            self.number.as_ref().map(|arm| arm.when.is_none()),
            self.text.as_ref().map(|arm| arm.when.is_none()),
        ];
        arms.iter().flatten().count() == 1 && arms.iter().flatten().all(|always| *always)
    }

    /// The types that a person has in mind; none for a null.
    pub(super) fn types(&self) -> Vec<Type> {
        [
            (Type::Boolean, self.boolean.as_ref().is_some_and(|arm| arm.usual)),
            (Type::Number, self.number.as_ref().is_some_and(|arm| arm.usual)),
            (Type::Text, self.text.as_ref().is_some_and(|arm| arm.usual)),
        ]
        .into_iter()
        .filter_map(|(kind, has)| has.then_some(kind))
        .collect()
    }
}
