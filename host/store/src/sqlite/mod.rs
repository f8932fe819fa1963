//! The SQLite backend: the host's tables live in the application's own database file.
//!
//! One connection writes, for the whole process, and a few read; the application writes to the same file from its own
//! processes. [`connection`] decides how durable a write is, [`lock`] how it waits for the others, [`statement`] how statements are written down and named,
//! [`failure`] what their errors mean. Every other file holds one trait and its statements.

mod backfill;
mod capture_schema;
mod capture_table;
mod capture_trigger;
mod captures;
mod cell;
mod checkpoint;
mod claimable;
mod claims;
mod completion;
mod connection;
mod dead_letters;
mod definitions;
mod deliveries;
mod doorbell;
mod earlier_observers;
mod event_row;
mod events;
mod failure;
mod held;
mod holds;
mod hosts;
mod image;
mod inbox;
mod inbox_row;
mod intake;
mod learned_rates;
mod liveness;
mod lock;
mod piece;
mod predicate;
mod quarantine;
mod retention;
mod row_json;
mod row_view;
mod runs;
mod schema;
mod statement;
#[cfg(feature = "conformance")]
pub mod steps;
mod suspects;
mod url;
mod waits;

use std::{path::PathBuf, sync::Arc, time::Duration};

use self::{
    connection::Connections,
    doorbell::Doorbell,
    liveness::Liveness,
    url::{DatabaseFile, FileIdentity},
};
use crate::{LockHeld, Result, StoreError, TransactionCount, Transactions};

/// How to open the database.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Whether a missing file is made. Otherwise it is an error: a mistyped path must not start an empty database.
    pub create: bool,
    /// How long a write waits for another process to end its own; then it fails as locked.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { create: false, busy_timeout: Duration::from_secs(5) }
    }
}

/// An open database. Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    file: DatabaseFile,
    /// Which file that was when it was opened.
    opened: Option<FileIdentity>,
    connections: Connections,
    liveness: Liveness,
    doorbell: Doorbell,
    purged: retention::Reached,
}

impl SqliteStore {
    /// Opens the database that `url` names: `sqlite:path` or `sqlite://path`. Applies no migration.
    pub async fn open(url: &str, options: SqliteOptions) -> Result<Self> {
        let file = DatabaseFile::parse(url)?;
        file.inspect(options.create)?;
        let connections = Connections::open(&file, options).await?;
        let liveness = Liveness::beside(file.path());
        let doorbell = Doorbell::for_database(file.path());
        let opened = file.identity();
        let purged = retention::Reached::default();
        Ok(Self { inner: Arc::new(Inner { file, opened, connections, liveness, doorbell, purged }) })
    }

    /// The database file.
    pub fn path(&self) -> PathBuf {
        self.inner.file.path().to_owned()
    }

    /// An error if the file was deleted, or another one has its path: what this process reads and writes is then not
    /// what the application does.
    pub fn check_file(&self) -> Result<()> {
        let found = self.inner.file.identity();
        if self.inner.opened.is_none() || found == self.inner.opened {
            return Ok(());
        }
        Err(StoreError::FileReplaced {
            database: self.inner.file.name(),
            why: if found.is_some() { "another file has its path" } else { "it was deleted" },
        })
    }

    /// Ends all connections; the last process to do so folds the write-ahead log into the database file.
    pub async fn close(&self) {
        self.inner.connections.close().await;
    }
}

impl Transactions for SqliteStore {
    fn transactions(&self) -> Vec<TransactionCount> {
        self.inner.connections.counts()
    }

    fn lock_held(&self) -> Option<LockHeld> {
        self.inner.connections.lock_held()
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.inner.file.path()).finish()
    }
}

/// Every statement of the backend, for the test that prepares each of them.
#[cfg(test)]
pub(crate) fn statements() -> impl Iterator<Item = &'static statement::Statement> {
    [
        backfill::STATEMENTS,
        captures::STATEMENTS,
        checkpoint::STATEMENTS,
        capture_table::STATEMENTS,
        claimable::STATEMENTS,
        claims::STATEMENTS,
        completion::STATEMENTS,
        connection::STATEMENTS,
        dead_letters::STATEMENTS,
        definitions::STATEMENTS,
        deliveries::STATEMENTS,
        event_row::STATEMENTS,
        events::STATEMENTS,
        holds::STATEMENTS,
        learned_rates::STATEMENTS,
        hosts::STATEMENTS,
        inbox::STATEMENTS,
        intake::STATEMENTS,
        quarantine::STATEMENTS,
        retention::STATEMENTS,
        runs::STATEMENTS,
        schema::STATEMENTS,
        suspects::STATEMENTS,
        waits::STATEMENTS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::Schema as _;

    #[tokio::test]
    async fn every_statement_can_be_prepared_and_has_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/test.db", folder.path().display());
        let store = SqliteStore::open(&url, SqliteOptions { create: true, ..SqliteOptions::default() })
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let prepared = store.inner.connections.read(|connection| {
            let mut names = HashSet::new();
            for statement in statements() {
                assert!(names.insert(statement.name()), "two statements are named {}", statement.name());
                assert_ne!(statement.name(), "unnamed", "{}", statement.sql());
                if let Err(error) = connection.prepare(statement.sql()) {
                    panic!("{}: {error}", statement.name());
                }
            }
            Ok(names.len())
        });
        assert!(prepared.await.unwrap() > 40, "the list of statements is not complete");
    }
}
