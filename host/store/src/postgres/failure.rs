//! What the database's errors mean to the caller.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use sqlx::Error;

use crate::StoreError;

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const INVALID_PASSWORD: &str = "28P01";
const INVALID_AUTHORIZATION: &str = "28000";
const INVALID_CATALOG_NAME: &str = "3D000";
const UNDEFINED_TABLE: &str = "42P01";
const DISK_FULL: &str = "53100";
const TOO_MANY_CONNECTIONS: &str = "53300";
const READ_ONLY_TRANSACTION: &str = "25006";
const PROTOCOL_VIOLATION: &str = "08P01";
const DUPLICATE_PREPARED: &str = "42P05";
const INVALID_STATEMENT_NAME: &str = "26000";
const UNIQUE_VIOLATION: &str = "23505";
const DUPLICATE_TABLE: &str = "42P07";
const DUPLICATE_SCHEMA: &str = "42P06";

/// Classes of what passes: connection, resources, operator intervention, system errors of the server.
const PASSING_CLASSES: [&str; 4] = ["08", "53", "57", "58"];
/// Classes of what a value in a row is to blame for: data exceptions (such as characters that an encoding lacks), and limits
/// of the program (such as a text that is too long).
const ROW_CLASSES: [&str; 2] = ["22", "54"];
/// What else passes: a lock that was not available, a server that is a standby until it is promoted, and rights that
/// are missing until someone grants them: none of it is the fault of what was to be written.
const PASSING: [&str; 3] = ["55P03", READ_ONLY_TRANSACTION, INSUFFICIENT_PRIVILEGE];

/// PostgreSQL's code of an error, if the error came from there.
pub(super) fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the same transaction may work when it is run again at once.
fn is_conflict(code: &str) -> bool {
    matches!(code, SERIALIZATION_FAILURE | DEADLOCK_DETECTED)
}

/// The error of a question that was not answered in time.
pub(super) fn silent(patience: Duration) -> Error {
    let why = format!("the server did not answer within {} ms", patience.as_millis());
    Error::Io(io::Error::new(ErrorKind::TimedOut, why))
}

/// What a failed step means to the caller of the store. It is named: a statement, or the commit of a transaction.
pub(super) fn of_step(name: &'static str, error: &Error) -> StoreError {
    match code(error) {
        Some(code) if is_conflict(&code) => StoreError::Conflict { statement: name, why: reason(error) },
        Some(code) if code == INSUFFICIENT_PRIVILEGE => {
            StoreError::Forbidden { why: format!("{name}: {}", message(error)), grant: None }
        }
        Some(code) if ROW_CLASSES.iter().any(|class| code.starts_with(class)) => {
            StoreError::Row { statement: name, why: reason(error) }
        }
        _ if matches!(error, Error::ColumnDecode { .. } | Error::Decode(_)) => {
            StoreError::Row { statement: name, why: reason(error) }
        }
        _ => StoreError::Statement { statement: name, why: reason(error), transient: is_transient(error) },
    }
}

/// The same for a step that makes a schema or a table: that another process made it meanwhile is no failure.
pub(super) fn of_making(name: &'static str, error: &Error) -> StoreError {
    match code(error).as_deref() {
        // The last is that of the catalogs' own indexes, where two make the same at once.
        Some(DUPLICATE_SCHEMA | DUPLICATE_TABLE | UNIQUE_VIOLATION) => {
            StoreError::Conflict { statement: name, why: reason(error) }
        }
        _ => of_step(name, error),
    }
}

/// Whether a pooler refuses settings at the start of a session. It says so before there is any.
pub(super) fn is_refusal_of_parameters(error: &Error) -> bool {
    code(error).is_some_and(|code| code == PROTOCOL_VIOLATION) && message(error).contains("startup parameter")
}

/// Why it failed, in words for people.
pub(super) fn reason(error: &Error) -> String {
    let driver = message(error);
    let hint = match code(error).as_deref() {
        Some(INVALID_PASSWORD | INVALID_AUTHORIZATION) => "look at the user and the password in the URL",
        Some(INVALID_CATALOG_NAME) => "make it with `createdb`, or look at the name in the URL",
        Some(INSUFFICIENT_PRIVILEGE) => {
            "the role of the URL needs the rights that docs/postgresql.md lists under \"Roles and rights\""
        }
        Some(UNDEFINED_TABLE) => "run `aftercommit migrate`, or look at the configured schema",
        Some(DUPLICATE_PREPARED | INVALID_STATEMENT_NAME) => {
            "a pooler that gives each transaction to any session stands between: write `pooled = true` in `[database]`"
        }
        Some(DISK_FULL) => "the server's disk is full",
        Some(TOO_MANY_CONNECTIONS) => "raise the server's max_connections, or put a pooler before it",
        Some(READ_ONLY_TRANSACTION) => "this server is a standby; use the URL of the primary",
        _ => return driver,
    };
    format!("{driver} ({hint})")
}

/// What the server or the driver says.
fn message(error: &Error) -> String {
    match error {
        Error::PoolTimedOut => "no connection was free or could be made in time".to_owned(),
        // What the TLS library says comes as such an error.
        Error::Io(why) if why.kind() == ErrorKind::InvalidData => {
            format!("TLS failed: {why}; {}", certificate_hint(&why.to_string()))
        }
        Error::Io(why) if why.kind() == ErrorKind::NotFound => {
            format!("{why}; look at `host` and, if there is one, at `sslrootcert` in the URL")
        }
        Error::Io(why) => format!("the connection failed: {why}"),
        Error::Configuration(why) => why.to_string(),
        Error::Tls(why) => format!("TLS failed: {why}; look at `sslmode` and `sslrootcert` in the URL"),
        _ => error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()),
    }
}

fn certificate_hint(why: &str) -> &'static str {
    if why.contains("not valid for name") {
        "write the host in the URL as the server's certificate has it, or use `sslmode=verify-ca`"
    } else {
        "let `sslrootcert` in the URL name the certificate that signed the server's, or use another `sslmode`"
    }
}

pub(super) fn is_transient(error: &Error) -> bool {
    match code(error) {
        Some(code) => {
            PASSING_CLASSES.iter().any(|class| code.starts_with(class)) || PASSING.contains(&code.as_str())
        }
        None => is_lost(error),
    }
}

/// Whether the connection is gone, or there was none.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed)
}
