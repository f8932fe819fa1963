//! A condition from its text to its answer: the pipeline of this crate, and the only type most callers need.

use std::{fmt, str::FromStr};

use crate::{
    check::check,
    compile::compile,
    diagnostic::Diagnostic,
    evaluation_error::EvalError,
    parse::parse,
    program::Test,
    row::{Row, Subject, TimeText},
    syntax::{EventField, Expression},
    truth::Truth,
};

/// A condition that was read, checked and made ready to be evaluated.
///
/// ```
/// use aftercommit_condition::{Condition, Row, Truth};
/// use aftercommit_core::{EntityEvent, EventKind};
///
/// let condition = Condition::parse("total > 100 AND status = 'pending'").unwrap();
/// let data = serde_json::json!({"total": 150, "status": "pending"});
/// let event = EntityEvent::new(EventKind::Created, "Order", 7, data);
/// assert_eq!(condition.evaluate(&Row::from(&event)), Ok(Truth::True));
/// ```
#[derive(Clone, Debug)]
pub struct Condition {
    source: Box<str>,
    tree: Expression,
    warnings: Vec<Diagnostic>,
    program: Test,
    reads_occurred_at: bool,
}

impl Condition {
    /// Reads a condition and checks all that can be checked without a row.
    pub fn parse(source: &str) -> Result<Self, Diagnostic> {
        let tree = parse(source)?;
        let warnings = check(&tree)?;
        let program = compile(&tree)?;
        let reads_occurred_at = tree.reads(EventField::OccurredAt);
        Ok(Self { source: source.into(), tree, warnings, program, reads_occurred_at })
    }

    /// What the condition says of a row. Its cost is bounded by the condition's length and the values it reads.
    pub fn evaluate(&self, row: &Row<'_>) -> Result<Truth, EvalError> {
        let text;
        let occurred_at = if self.reads_occurred_at {
            text = TimeText::new(row.event.occurred_at);
            text.as_str()
        } else {
            ""
        };
        self.program.evaluate(&Subject { row: *row, occurred_at }).map_err(|error| *error)
    }

    /// The text as it was given, which all places refer to.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The condition as a tree. It prints in the canonical form.
    #[must_use]
    pub fn tree(&self) -> &Expression {
        &self.tree
    }

    /// What the condition says that was hardly meant, for example `status = NULL`.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.fmt(f)
    }
}

impl FromStr for Condition {
    type Err = Diagnostic;

    fn from_str(source: &str) -> Result<Self, Diagnostic> {
        Self::parse(source)
    }
}
