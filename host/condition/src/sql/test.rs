//! A test as SQL, and tests joined by AND, OR and NOT.
//!
//! A test that can meet an error is a number: 0 for an error, 1 for false, 2 for unknown, 3 for true. AND is then the
//! first error or false from the left, else unknown if any part is. That is the least of the parts' numbers when those
//! of errors and falses are small and grow to the right, and all others are great. So each part is written once, and
//! nothing depends on which part the database looks at first.

use super::dialect::{Dialect, joined};

#[derive(Clone, Debug)]
pub(super) enum Test {
    /// A truth value of SQL, null for unknown: nothing in it can be an error.
    Truth(String),
    /// A code.
    Code(String),
}

/// The code of an error.
pub(super) const ERROR: &str = "0";
/// The code of what is unknown.
pub(super) const UNKNOWN: &str = "2";

/// More than four times as many parts as a condition can have.
const GREAT: usize = 1 << 20;

impl Test {
    pub(super) fn code(self, dialect: &dyn Dialect) -> String {
        match self {
            Self::Truth(truth) => dialect.code(&truth),
            Self::Code(code) => code,
        }
    }

    /// Whether it is true or an error.
    pub(super) fn passes(self, dialect: &dyn Dialect) -> String {
        match self {
            Self::Truth(truth) => dialect.is_true(&truth),
            Self::Code(code) => dialect.is_true_or_error(&code),
        }
    }

    pub(super) fn negated(self, not: bool, dialect: &dyn Dialect) -> Self {
        match self {
            test if !not => test,
            Self::Truth(truth) => Self::Truth(format!("(NOT {truth})")),
            Self::Code(code) => Self::Code(dialect.pick(&code, [0, 3, 2, 1])),
        }
    }
}

/// AND from left to right.
pub(super) fn all_of(parts: Vec<Test>, dialect: &dyn Dialect) -> Test {
    junction(parts, " AND ", dialect, |place| [place, place + 1, GREAT + 2, GREAT + 3])
}

/// OR from left to right.
pub(super) fn any_of(parts: Vec<Test>, dialect: &dyn Dialect) -> Test {
    junction(parts, " OR ", dialect, |place| [place, GREAT + 4 + 1, GREAT + 2, place + 3])
}

fn junction(
    mut parts: Vec<Test>,
    operator: &str,
    dialect: &dyn Dialect,
    numbers: impl Fn(usize) -> [usize; 4],
) -> Test {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let truths: Option<Vec<String>> = parts
        .iter()
        .map(|part| match part {
            Test::Truth(truth) => Some(truth.clone()),
            Test::Code(_) => None,
        })
        .collect();
    if let Some(truths) = truths {
        return Test::Truth(joined(&truths, operator));
    }
    let numbers: Vec<String> = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| dialect.pick(&part.code(dialect), numbers(4 * index)))
        .collect();
    Test::Code(dialect.least(&numbers))
}
