//! What a call means: from a name and its arguments to one of the functions, or the reason why it is none.

use aftercommit_core::nearest;

use crate::{
    diagnostic::Diagnostic,
    keywords::KEYWORDS,
    syntax::{EventField, Field, Operand, OperandKind, Span},
};

/// The functions of the language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// `CHANGED(f)`
    Changed,
    /// `CHANGED_TO(f, v)`
    ChangedTo,
    /// `CHANGED_FROM(f, v)`
    ChangedFrom,
    /// `HAS_FIELD(f)`
    HasField,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Changed, Self::ChangedTo, Self::ChangedFrom, Self::HasField];

    /// The name as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "CHANGED",
            Self::ChangedTo => "CHANGED_TO",
            Self::ChangedFrom => "CHANGED_FROM",
            Self::HasField => "HAS_FIELD",
        }
    }

    /// How it is written.
    pub(crate) const fn shape(self) -> &'static str {
        match self {
            Self::Changed => "CHANGED(field)",
            Self::ChangedTo => "CHANGED_TO(field, value)",
            Self::ChangedFrom => "CHANGED_FROM(field, value)",
            Self::HasField => "HAS_FIELD(field)",
        }
    }

    /// Finds a function by its name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.as_str().eq_ignore_ascii_case(name))
    }

    const fn takes_value(self) -> bool {
        matches!(self, Self::ChangedTo | Self::ChangedFrom)
    }
}

/// A call whose function and arguments fit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call<'a> {
    Changed(&'a Field),
    ChangedTo(&'a Field, Span, &'a Operand),
    ChangedFrom(&'a Field, Span, &'a Operand),
    HasField(&'a Field),
}

impl<'a> Call<'a> {
    /// Finds the function and fits its arguments.
    pub(crate) fn resolve(
        name: &str,
        name_span: Span,
        arguments: &'a [Operand],
        span: Span,
    ) -> Result<Self, Diagnostic> {
        let function = Function::named(name).ok_or_else(|| unknown(name, name_span))?;
        let (operand, value) = match arguments {
            [field] if !function.takes_value() => (field, None),
            [field, value] if function.takes_value() => (field, Some(value)),
            _ => return Err(wrong_count(function, arguments.len(), span)),
        };
        let field = match &operand.kind {
            OperandKind::Field(field) => field,
            OperandKind::Event(field) => return Err(event_field(function, *field, operand.span)),
            _ => return Err(not_a_field(function, operand)),
        };
        if function != Function::HasField && field.image.is_some() {
            return Err(one_image(function, operand.span));
        }
        Ok(match (function, value) {
            (Function::ChangedTo, Some(value)) => Self::ChangedTo(field, operand.span, value),
            (Function::ChangedFrom, Some(value)) => Self::ChangedFrom(field, operand.span, value),
            (Function::HasField, _) => Self::HasField(field),
            _ => Self::Changed(field),
        })
    }
}

fn unknown(name: &str, span: Span) -> Diagnostic {
    let names = Function::ALL.map(Function::as_str);
    let diagnostic = Diagnostic::error(span, format!("there is no function {name}"), "not a function");
    match (nearest(name, names), nearest(name, KEYWORDS)) {
        (Some(meant), _) => diagnostic.help(format!("did you mean {meant}?")),
        // `name STARTSWITH('x')` fails elsewhere; `STARTSWITH(name, 'x')` comes here.
        (None, Some(meant)) => {
            diagnostic.help(format!("{meant} stands between two values: name {meant} 'x'"))
        }
        (None, None) => diagnostic.help(format!("the functions are {}", names.join(", "))),
    }
}

fn wrong_count(function: Function, count: usize, span: Span) -> Diagnostic {
    let takes = if function.takes_value() { "a field and a value" } else { "one field" };
    let given = match count {
        0 => "nothing is given".to_owned(),
        1 => "only one argument is given".to_owned(),
        count => format!("{count} arguments are given"),
    };
    Diagnostic::error(span, format!("{} takes {takes}", function.as_str()), given)
        .help(format!("write {}", function.shape()))
}

fn not_a_field(function: Function, operand: &Operand) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        operand.span,
        format!("the first argument of {} is a field", function.as_str()),
        "this is a value",
    );
    match &operand.kind {
        OperandKind::Text(text) => diagnostic.help(format!("a field's name has no single quotes: {text}")),
        _ => diagnostic.help(format!("write {}", function.shape())),
    }
}

fn event_field(function: Function, field: EventField, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        span,
        format!("{} takes a field of the row, and {field} belongs to the event", function.as_str()),
        "not a field of the row",
    );
    match function {
        Function::HasField => diagnostic.help(format!("write {field} IS NOT NULL")),
        Function::Changed | Function::ChangedTo | Function::ChangedFrom => {
            diagnostic.help(format!("an event has one {}: compare it with =", field.as_str()))
        }
    }
}

fn one_image(function: Function, span: Span) -> Diagnostic {
    Diagnostic::error(
        span,
        format!("{} compares OLD with NEW, and here only one is named", function.as_str()),
        "one image only",
    )
    .help("write the field without OLD or NEW")
}
