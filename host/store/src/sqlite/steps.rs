//! The work of statements, as SQLite counts it: instructions of its virtual machine, those of triggers among them. What tests compare
//! instead of time.

use std::cell::Cell;

use rusqlite::{CachedStatement, StatementStatus};

thread_local! {
    /// Of a thread, since other tests run beside this one.
    static STEPS: Cell<i64> = const { Cell::new(0) };
}

/// Adds what the statement did.
pub(super) fn count(statement: &CachedStatement<'_>) {
    let steps = statement.reset_status(StatementStatus::VmStep);
    STEPS.set(STEPS.get() + i64::from(steps));
}

/// What this thread did since it was asked last.
pub(super) fn taken() -> i64 {
    STEPS.replace(0)
}
