//! Lists of rows that people may edit: a row that cannot be read is reported and passed over, because the others must go on.

use std::{collections::HashSet, sync::LazyLock};

use parking_lot::Mutex;

use crate::{Result, row::Row};

/// Reports of this process so far. Some lists are read each second, and one line in the log is enough.
static REPORTED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// More reports than this are not remembered; the memory is emptied and they are logged again.
const MAX_REPORTED: usize = 1000;

/// The rows of `table` that can be read. `key` are the columns that identify a row in the report.
pub(crate) fn readable<R: Row, T>(
    table: &'static str,
    key: &[&str],
    rows: &[R],
    read: impl Fn(&R) -> Result<T>,
) -> Vec<T> {
    let read =
        |row: &R| read(row).inspect_err(|error| report(table, &key_of(row, key), &error.to_string())).ok();
    rows.iter().filter_map(read).collect()
}

fn key_of(row: &impl Row, columns: &[&str]) -> String {
    let pairs = columns.iter().map(|column| format!("{column}={:?}", row.shown(column)));
    pairs.collect::<Vec<_>>().join(" ")
}

fn report(table: &'static str, key: &str, error: &str) {
    let mut reported = REPORTED.lock();
    if reported.len() >= MAX_REPORTED {
        reported.clear();
    }
    if reported.insert(format!("{table} {key} {error}")) {
        tracing::warn!(
            table,
            key,
            error,
            "a row cannot be read and is passed over; correct the column by SQL, or delete the row"
        );
    }
}
