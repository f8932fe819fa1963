//! A condition ready to be evaluated: names resolved, numbers and patterns read, negations made explicit. It keeps the
//! place of every term, for errors.

use std::fmt;

use aftercommit_core::number::Decimal;

use crate::{
    like::Pattern,
    print,
    syntax::{Comparator, EventField, Field, Search, Span},
    text::Text,
};

/// A condition, or a part of one.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    AnyOf(Box<[Test]>),
    AllOf(Box<[Test]>),
    Not(Box<Test>),
    Compare(Box<Compare>),
    OneOf(Box<OneOf>),
    Between(Box<Between>),
    Search(Box<SearchTest>),
    IsNull(Box<Term>),
    Changed(Box<Field>),
    ChangedTo(Box<ChangedValue>),
    ChangedFrom(Box<ChangedValue>),
    HasField(Box<Field>),
}

#[derive(Clone, Debug)]
pub(crate) struct Compare {
    pub(crate) left: Term,
    pub(crate) comparator: Comparator,
    pub(crate) right: Term,
}

#[derive(Clone, Debug)]
pub(crate) struct OneOf {
    pub(crate) term: Term,
    pub(crate) list: Box<[Term]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Between {
    pub(crate) term: Term,
    pub(crate) low: Term,
    pub(crate) high: Term,
}

#[derive(Clone, Debug)]
pub(crate) struct SearchTest {
    pub(crate) term: Term,
    pub(crate) search: Search,
    pub(crate) sought: Term,
    /// The pattern of a LIKE, when it is written in the condition.
    pub(crate) pattern: Option<Pattern>,
}

/// The field and the value of `CHANGED_TO` and `CHANGED_FROM`.
#[derive(Clone, Debug)]
pub(crate) struct ChangedValue {
    /// Always a field, without OLD or NEW.
    pub(crate) field: Field,
    pub(crate) field_span: Span,
    pub(crate) value: Term,
}

/// A value: a literal's or a field's.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) source: Source,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Field(Field),
    Event(EventField),
    Text(Text<Box<str>>),
    Number(Decimal<Box<str>>),
    Boolean(bool),
    Null,
}

impl fmt::Display for Term {
    /// As it is printed in the condition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Field(field) => field.fmt(f),
            Source::Event(field) => field.fmt(f),
            Source::Text(text) => print::quoted(f, text.as_str(), '\''),
            Source::Number(number) => f.write_str(number.text()),
            Source::Boolean(boolean) => f.write_str(print::boolean(*boolean)),
            Source::Null => f.write_str("NULL"),
        }
    }
}
