//! What can go wrong with the database, by what the caller can do about it.

/// The result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why a store call failed. The text never holds the database URL's password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database can not be reached or opened; it may come back.
    #[error("cannot reach the database {database}: {why}")]
    Unreachable {
        /// Which one, without credentials.
        database: String,
        /// The driver's words.
        why: String,
    },
    /// There is no file of that name; it may be made.
    #[error("cannot reach the database {database}: there is no such file")]
    Missing {
        /// Its path.
        database: String,
    },
    /// The database file is not the one that was opened: going on would work for nobody.
    #[error("the database file {database} is not the one that was opened: {why}; start the host again")]
    FileReplaced {
        /// Which one.
        database: String,
        /// What was found.
        why: &'static str,
    },
    /// Another process held the database too long; the call can be repeated.
    #[error("the database {database} is locked by another process: {why}")]
    Locked {
        /// Which one, without credentials.
        database: String,
        /// The driver's words.
        why: String,
    },
    /// Other transactions were in the way, again and again; the call can be repeated.
    #[error("{statement}: other transactions were in the way: {why}")]
    Conflict {
        /// The statement's name.
        statement: &'static str,
        /// The driver's words.
        why: String,
    },
    /// The URL is wrong.
    #[error("`{url}` is not a database URL: {why}")]
    BadUrl {
        /// As given, without credentials.
        url: String,
        /// What is wrong and what to write.
        why: String,
    },
    /// The schema is missing or older than this program.
    #[error(
        "the database has schema version {found}, this program needs {needed}: run `aftercommit migrate`"
    )]
    NotMigrated {
        /// 0 when there is none.
        found: i64,
        /// What this program was built with.
        needed: i64,
    },
    /// The schema was made by a newer program.
    #[error("the database has schema version {found}, this program knows {known}: use a newer aftercommit")]
    SchemaNewer {
        /// What the database has.
        found: i64,
        /// What this program was built with.
        known: i64,
    },
    /// The request itself is wrong: an unknown table, a table without a key, a name that is taken.
    #[error("{0}")]
    Refused(String),
    /// What is to be made is there already.
    #[error("there is a {what} `{name}` already")]
    Exists {
        /// `event`, ..
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The role lacks rights in the database.
    #[error("{why}; {}", grant.as_ref().map_or_else(
        || "docs/postgresql.md lists the needed rights under \"Roles and rights\"".to_owned(),
        |grant| format!("have it granted: `{grant}`"),
    ))]
    Forbidden {
        /// What was forbidden.
        why: String,
        /// The statements that grant it, if they are known.
        grant: Option<String>,
    },
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// `event`, `observer`, `dead letter`, ..
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A value in a row can not be read or written: the fault of that row alone.
    #[error("{statement}: {why}")]
    Row {
        /// The statement's name.
        statement: &'static str,
        /// The driver's words.
        why: String,
    },
    /// A statement failed.
    #[error("{statement}: {why}")]
    Statement {
        /// The statement's name.
        statement: &'static str,
        /// The driver's words.
        why: String,
        /// Whether repeating the call may work.
        transient: bool,
    },
}

impl StoreError {
    /// Whether the same call may work later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            // A host goes on by itself when a right that was taken away is granted again.
            Self::Unreachable { .. }
            | Self::Missing { .. }
            | Self::Locked { .. }
            | Self::Conflict { .. }
            | Self::Forbidden { .. } => true,
            Self::Statement { transient, .. } => *transient,
            Self::BadUrl { .. }
            | Self::FileReplaced { .. }
            | Self::NotMigrated { .. }
            | Self::SchemaNewer { .. }
            | Self::Refused(_)
            | Self::Exists { .. }
            | Self::Row { .. }
            | Self::NotFound { .. } => false,
        }
    }
}
