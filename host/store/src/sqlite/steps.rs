//! The work of statements, as SQLite counts it: instructions of its virtual machine, those of triggers among them. What tests compare
//! instead of time.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rusqlite::{Connection, Statement, StatementStatus};

/// Of each file, since other tests run beside this one.
static STEPS: Mutex<Option<HashMap<PathBuf, u64>>> = Mutex::new(None);

/// Adds what the statement did.
pub(super) fn count(connection: &Connection, statement: &Statement<'_>) {
    let steps = u64::try_from(statement.reset_status(StatementStatus::VmStep)).unwrap_or_default();
    let Some(path) = connection.path() else { return };
    let mut all = STEPS.lock();
    *all.get_or_insert_default().entry(PathBuf::from(path)).or_default() += steps;
}

/// What was done in the file at this path since this was asked last.
#[doc(hidden)]
pub fn taken(file: &Path) -> u64 {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut all = STEPS.lock();
    all.get_or_insert_default().remove(&file).unwrap_or_default()
}
