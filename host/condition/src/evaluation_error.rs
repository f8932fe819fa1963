//! Why a condition says neither true nor false nor unknown of a row: it compares what cannot be compared.

use std::fmt;

use crate::{diagnostic::Diagnostic, parse::MAX_BYTES, syntax::Span, value::Type};

/// An evaluation that met values its operators do not fit. The same row always gives the same error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvalError {
    /// What did not fit.
    pub reason: Reason,
    /// The operator or function, as it is printed.
    pub operator: &'static str,
    /// What stands before the operator, or the function's field.
    pub left: Party,
    /// What stands after it.
    pub right: Party,
    /// Both, in the condition's text.
    pub span: Span,
}

/// One of the two values of a failed operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Party {
    /// The field or the literal, as it is printed.
    pub text: String,
    /// Its type in this row.
    pub type_of: Type,
    /// Whether it is written in the condition.
    pub is_literal: bool,
}

/// What can fail to fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The two types differ.
    DifferentTypes,
    /// Both are of a type that has no order.
    NoOrder,
    /// The operator works on text.
    NotText,
    /// CONTAINS looks into text and arrays.
    NotSearchable,
    /// The pattern of LIKE ends in a backslash.
    BadPattern,
    /// The pattern of LIKE, which the row holds, is longer than a condition may be.
    LongPattern,
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, left, right, .. } = self;
        match self.reason {
            Reason::DifferentTypes => {
                write!(
                    f,
                    "`{left}` is {} and `{right}` is {}: `{operator}` cannot compare them",
                    left.type_of, right.type_of
                )
            }
            Reason::NoOrder => {
                write!(
                    f,
                    "`{left}` and `{right}` are each {}: `{operator}` orders only numbers and texts",
                    left.type_of
                )
            }
            Reason::NotText => {
                write!(
                    f,
                    "`{left}` is {} and `{right}` is {}: `{operator}` needs two texts",
                    left.type_of, right.type_of
                )
            }
            Reason::NotSearchable => {
                write!(f, "`{left}` is {}: `{operator}` looks into texts and arrays", left.type_of)
            }
            Reason::BadPattern => {
                write!(f, "the pattern in `{right}` ends in a backslash that escapes nothing")
            }
            Reason::LongPattern => {
                write!(f, "the pattern in `{right}` is longer than {MAX_BYTES} bytes")
            }
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for EvalError {}

impl EvalError {
    /// The error as a diagnostic, to be rendered with the condition's text.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let label = format!("{} and {}", self.left.type_of, self.right.type_of);
        let diagnostic = Diagnostic::error(self.span, self.to_string(), label);
        match self.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    fn help(&self) -> Option<String> {
        match (self.reason, self.left.type_of, self.right.type_of) {
            (Reason::DifferentTypes, Type::Text, Type::Number) if self.right.is_literal => {
                Some(format!("to compare with text, write '{}'", self.right))
            }
            (Reason::DifferentTypes, Type::Number, Type::Text) if self.right.is_literal => {
                Some(format!("`{}` holds a number: compare it with one, without quotes", self.left))
            }
            (Reason::DifferentTypes, Type::Number, Type::Boolean) if self.right.is_literal => {
                let number = u8::from(self.right.text == "TRUE");
                Some(format!("SQLite keeps booleans as numbers: to compare with one, write {number}"))
            }
            (Reason::DifferentTypes, Type::Array, _) => {
                Some("to look into an array, use CONTAINS".to_owned())
            }
            (Reason::NotSearchable, Type::Object, _) => {
                Some(format!("to ask for a field of an object, use HAS_FIELD({}.name)", self.left))
            }
            (Reason::NoOrder, Type::Boolean, _) => Some("compare booleans with = or !=".to_owned()),
            (Reason::BadPattern, ..) => Some("a backslash itself is written \\\\".to_owned()),
            _ => None,
        }
    }
}
