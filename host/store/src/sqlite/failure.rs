//! What the database's errors mean to the caller.

use rusqlite::Error;

use super::statement::Statement;
use crate::StoreError;

// Primary result codes, https://www.sqlite.org/rescode.html
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const NOTADB: i32 = 26;

/// SQLite's primary result code of an error, if the error came from there.
fn primary_code(error: &Error) -> Option<i32> {
    // The driver gives the extended code; the primary one is its lowest byte.
    error.sqlite_error().map(|error| error.extended_code & 0xff)
}

/// Whether another process holds the database.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED))
}

/// What a failed statement means to the caller of the store.
pub(super) fn of_statement(statement: Statement) -> impl FnOnce(Error) -> StoreError {
    move |error| of_step(statement.name(), &error)
}

/// The same for a step that is no statement, such as the commit of a named transaction.
pub(super) fn of_step(name: &'static str, error: &Error) -> StoreError {
    StoreError::Statement { statement: name, why: reason(error), transient: is_transient(error) }
}

/// Why it failed, in words for people.
pub(super) fn reason(error: &Error) -> String {
    let driver = match error {
        // The others print the statement too.
        Error::SqlInputError { msg, .. } => msg.clone(),
        error => error.to_string(),
    };
    match primary_code(error) {
        Some(FULL) => format!("the disk is full ({driver})"),
        Some(IOERR) => format!("the disk failed to read or write ({driver})"),
        Some(CORRUPT) => format!("the database file is damaged ({driver}); restore it from a backup"),
        Some(NOTADB) => format!("the file is not an SQLite database ({driver})"),
        Some(READONLY) => {
            format!("the database can not be written ({driver}); look at the file's permissions")
        }
        _ => driver,
    }
}

fn is_transient(error: &Error) -> bool {
    let passing = [BUSY, LOCKED, NOMEM, IOERR, FULL, CANTOPEN, PROTOCOL];
    primary_code(error).is_some_and(|code| passing.contains(&code))
}
