//! The condition language of aftercommit: which row changes an observer wants.
//!
//! A text goes through four steps, each in a file of its own: `parse` makes a tree of it, `check` finds what no row can
//! make right, `compile` prepares the tree, `evaluate` asks it about a row. [`Condition`] is all of them. Mistakes leave
//! as [`Diagnostic`]s, which know their place in the text. The language is described for its users in
//! `docs/conditions.md`.
//!
//! This crate is pure: it knows rows and texts, and no database, observer or plugin.

mod calls;
mod check;
mod compile;
mod condition;
mod diagnostic;
mod evaluate;
mod evaluation_error;
mod expected;
mod explain;
mod grammar;
mod instant;
mod keywords;
mod like;
mod mistakes;
mod parse;
mod print;
mod program;
mod row;
mod shift_and;
pub mod sql;
pub mod syntax;
mod text;
mod tokens;
mod truth;
mod value;

pub use calls::Function;
pub use check::check;
pub use condition::Condition;
pub use diagnostic::{Diagnostic, Severity};
pub use evaluation_error::{EvalError, Party, Reason};
pub use keywords::KEYWORDS;
pub use parse::{MAX_BYTES, parse};
pub use row::{EventContext, Row};
pub use tokens::MAX_DEPTH;
pub use truth::Truth;
pub use value::Type;
