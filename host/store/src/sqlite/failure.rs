//! What the database's errors mean to the caller.

use sqlx::{Error, sqlite::SqliteError};

use super::statement::Statement;
use crate::StoreError;

// Primary result codes, https://www.sqlite.org/rescode.html
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NOMEM: u32 = 7;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const PROTOCOL: u32 = 15;
const NOTADB: u32 = 26;

/// SQLite's primary result code of an error, if the error came from there.
pub(super) fn primary_code(error: &Error) -> Option<u32> {
    let database_error = error.as_database_error()?;
    database_error.try_downcast_ref::<SqliteError>()?;
    // The driver gives the extended code; the primary one is its lowest byte.
    database_error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
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
    let driver =
        error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
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
    match primary_code(error) {
        Some(code) => matches!(code, BUSY | LOCKED | NOMEM | IOERR | FULL | CANTOPEN | PROTOCOL),
        None => matches!(error, Error::Io(_) | Error::PoolTimedOut | Error::WorkerCrashed),
    }
}
