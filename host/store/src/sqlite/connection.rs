//! The connections of one process, and the one way to write.
//!
//! SQLite has one writer at a time. So this process has one connection that writes: its transactions queue here, in
//! order, instead of polling for the lock of the file. Only between processes the busy timeout decides.
//!
//! Durability: the write-ahead log is not synced at each commit of the host ([`Sync::Later`]). A process that dies
//! loses nothing by that; a machine that loses power may lose the last commits, always from the end. Then inbox rows
//! come back, or deliveries that had ended are live again, and run again with the same id: at-least-once, as promised.
//! The application's commit keeps the durability that the application chose. What a person was told is done
//! ([`Sync::Now`]) is synced before the call returns, by a connection of its own.

use std::time::Instant;

use sqlx::{
    ConnectOptions as _, Sqlite, SqliteConnection, SqlitePool, Transaction,
    pool::{PoolConnection, PoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{SqliteOptions, failure, statement::statements, url::DatabaseFile};
use crate::{Result, StoreError};

/// Lists wait for nobody, and a command line reads one thing at a time: a few are enough.
const READERS: u32 = 3;

/// The write-ahead log is folded into the database once it has so many pages of 4 KiB: four times SQLite's default,
/// since each time costs two syncs and the host writes a lot.
const CHECKPOINT_PAGES: &str = "4000";

/// A longer log is cut to this size when it is started over.
const LOG_LIMIT_BYTES: &str = "67108864";

/// How often a write is begun again when another process holds the lock beyond the busy timeout.
const BEGIN_TRIES: u32 = 3;

statements! {
    READ_ENCODING = "-- read_encoding
PRAGMA encoding";
}

/// How durable a write is when its call returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sync {
    /// It survives the process; after a loss of power it may have to be done again.
    Later,
    /// It survives a loss of power.
    Now,
}

/// The connections of one process.
pub(super) struct Connections {
    database: String,
    writer: SqlitePool,
    durable_writer: SqlitePool,
    readers: SqlitePool,
}

impl Connections {
    pub(super) async fn open(file: &DatabaseFile, options: SqliteOptions) -> Result<Self> {
        let base = SqliteConnectOptions::new()
            .filename(file.path())
            .create_if_missing(options.create)
            .busy_timeout(options.busy_timeout)
            // Captured rows are the application's data: they do not belong in our logs.
            .disable_statement_logging();
        let writing = base
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", LOG_LIMIT_BYTES)
            .thread_name(|_| "sqlite-write".to_owned());
        let reading = base.pragma("query_only", "1").thread_name(|_| "sqlite-read".to_owned());
        let connections = Self {
            database: file.name(),
            writer: pool(1).connect_lazy_with(writing.clone().synchronous(SqliteSynchronous::Normal)),
            durable_writer: pool(1).connect_lazy_with(writing.synchronous(SqliteSynchronous::Full)),
            readers: pool(READERS).connect_lazy_with(reading),
        };
        connections.refuse_utf16().await?;
        Ok(connections)
    }

    /// The driver reads texts as UTF-8 only.
    async fn refuse_utf16(&self) -> Result<()> {
        // By the connection that writes: it also sets the journal mode, and fails here when it can not.
        let mut connection = self.writer.acquire().await.map_err(|error| self.unopened(&error))?;
        let encoding: String = READ_ENCODING.call().value(&mut connection).await?;
        if encoding == "UTF-8" {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "the database {} stores its texts as {encoding}; aftercommit needs UTF-8",
            self.database
        )))
    }

    /// A connection to read with.
    pub(super) async fn read(&self) -> Result<PoolConnection<Sqlite>> {
        self.readers.acquire().await.map_err(|error| self.unopened(&error))
    }

    /// A transaction to read several things of one moment.
    pub(super) async fn read_transaction(&self) -> Result<Transaction<'static, Sqlite>> {
        self.readers.begin().await.map_err(|error| self.unopened(&error))
    }

    /// The one way to write: begins a transaction that holds the write lock from its start, so that nothing in it can
    /// fail because of another process, and what it reads stays true until its end. Dropping it undoes it.
    pub(super) async fn write(&self, name: &'static str, sync: Sync) -> Result<WriteTransaction> {
        let pool = match sync {
            Sync::Later => &self.writer,
            Sync::Now => &self.durable_writer,
        };
        let asked = Instant::now();
        let mut tries = 1;
        loop {
            match pool.begin_with("BEGIN IMMEDIATE").await {
                Ok(transaction) => {
                    let waited_us = micros(asked);
                    return Ok(WriteTransaction { transaction, name, began: Instant::now(), waited_us });
                }
                Err(error) if failure::is_busy(&error) && tries < BEGIN_TRIES => {
                    tracing::debug!(transaction = name, tries, "the database is locked, trying again");
                    tries += 1;
                }
                Err(sqlx::Error::InvalidSavePointStatement) if tries < BEGIN_TRIES => {
                    // A full disk makes SQLite itself end a transaction, which the driver does not notice: it counts
                    // one that is not there. A new connection starts from nothing.
                    tries += 1;
                    if let Ok(connection) = pool.acquire().await {
                        let _ = connection.close().await;
                    }
                }
                Err(error) => return Err(self.unopened(&error)),
            }
        }
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.durable_writer.close().await;
        self.writer.close().await;
    }

    fn unopened(&self, error: &sqlx::Error) -> StoreError {
        let database = self.database.clone();
        let why = failure::reason(error);
        if failure::is_busy(error) {
            StoreError::Locked { database, why }
        } else {
            StoreError::Unreachable { database, why }
        }
    }
}

/// Our connections are files: there is nothing to test before use, and no reason to end an idle one.
fn pool(max_connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(max_connections)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A named write that is under way.
pub(super) struct WriteTransaction {
    transaction: Transaction<'static, Sqlite>,
    name: &'static str,
    began: Instant,
    waited_us: u64,
}

impl WriteTransaction {
    /// Makes it so.
    pub(super) async fn commit(self) -> Result<()> {
        let Self { transaction, name, began, waited_us } = self;
        let result = transaction.commit().await;
        tracing::trace!(transaction = name, waited_us, took_us = micros(began), ok = result.is_ok(), "write");
        result.map_err(|error| failure::of_step(name, &error))
    }
}

impl std::ops::Deref for WriteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl std::ops::DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostId, Hosts as _, Schema as _, SqliteStore};
    use aftercommit_core::Timestamp;

    async fn store(folder: &tempfile::TempDir) -> SqliteStore {
        let url = format!("sqlite:{}/test.db", folder.path().display());
        let options = SqliteOptions { create: true, ..SqliteOptions::default() };
        let store = SqliteStore::open(&url, options).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    #[tokio::test]
    async fn what_a_person_was_told_is_synced_at_commit_and_the_rest_later() {
        let folder = tempfile::tempdir().unwrap();
        let connections = &store(&folder).await.inner.connections;
        for (sync, setting) in [(Sync::Later, 1), (Sync::Now, 2)] {
            let mut write = connections.write("test", sync).await.unwrap();
            let found: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *write).await.unwrap();
            assert_eq!(found, setting, "{sync:?}");
        }
    }

    #[tokio::test]
    async fn a_dropped_write_is_undone_and_lets_go_of_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let mut write = store.inner.connections.write("test", Sync::Later).await.unwrap();
        sqlx::raw_sql("INSERT INTO observer_inbox VALUES (1)").execute(&mut *write).await.unwrap();
        drop(write);
        store.inner.connections.write("test", Sync::Now).await.unwrap().commit().await.unwrap();
        assert!(!store.inbox_has_rows().await.unwrap());
    }

    #[tokio::test]
    async fn a_full_disk_is_a_passing_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let write = async |pages: &'static str| {
            let mut connection = store.inner.connections.writer.acquire().await.unwrap();
            sqlx::raw_sql(pages).execute(&mut *connection).await.unwrap();
            connection.return_to_pool().await;
            store.register(HostId::random(), &"x".repeat(1 << 20), Timestamp::from_micros(0)).await
        };
        // To SQLite this is the same as a disk that is full.
        let error = write("PRAGMA max_page_count = 1").await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(
            error.to_string().contains("disk is full") && error.to_string().contains("register_host"),
            "{error}"
        );
        write("PRAGMA max_page_count = 1073741823").await.expect("it works again when there is room");
    }
}
