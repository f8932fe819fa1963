//! The connections of one process, and the one way to write.
//!
//! SQLite has one writer at a time. So this process has one connection that writes: its transactions queue here, in
//! order, instead of polling for the lock of the file. Only between processes there is polling, see [`Lock::take`].
//! A transaction runs as one piece on a thread that may block, and holds the lock no longer than its statements take:
//! nothing else is waited for while the application can not write.
//!
//! Durability: the write-ahead log is not synced at each commit of the host ([`Sync::Later`]). A process that dies
//! loses nothing by that; a machine that loses power may lose the last commits, always from the end. Then inbox rows
//! come back, or deliveries that had ended are live again, and run again with the same id: at-least-once, as promised.
//! The application's commit keeps the durability that the application chose. What a person was told is done
//! ([`Sync::Now`]) is synced before the call returns.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{
    SqliteOptions, checkpoint, failure, held::Held, lock::Lock, statement::statements, url::DatabaseFile,
};
use crate::{
    LockHeld, Result, StoreError, TransactionCount,
    transactions::{Ended, Tally},
};

/// Lists wait for nobody, and a command line reads one thing at a time: a few are enough.
const READERS: usize = 3;

/// A longer log is cut to this size when it is started over.
const LOG_LIMIT_BYTES: u32 = 64 << 20;

/// More than there are statements: each is prepared once in a connection.
const PREPARED_STATEMENTS: usize = 128;

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
    opening: Arc<Opening>,
    writer: Arc<tokio::sync::Mutex<Option<Writer>>>,
    readers: Arc<Semaphore>,
    idle_readers: Arc<Mutex<Vec<Connection>>>,
    tally: Arc<Tally>,
    lock_held: Arc<Held>,
}

/// The connection that writes.
struct Writer {
    connection: Connection,
    sync: Sync,
}

/// How connections of this database are opened.
struct Opening {
    file: DatabaseFile,
    options: SqliteOptions,
}

impl Connections {
    pub(super) async fn open(file: &DatabaseFile, options: SqliteOptions) -> Result<Self> {
        let opening = Arc::new(Opening { file: file.clone(), options });
        // The one that writes is the first: it also sets the journal mode, and fails here when it can not.
        let first = Arc::clone(&opening);
        let writer = blocking(move || {
            let writer = first.writer()?;
            first.refuse_utf16(&writer.connection)?;
            Ok(writer)
        });
        Ok(Self {
            opening,
            writer: Arc::new(tokio::sync::Mutex::new(Some(writer.await?))),
            readers: Arc::new(Semaphore::new(READERS)),
            idle_readers: Arc::default(),
            tally: Arc::default(),
            lock_held: Arc::default(),
        })
    }

    /// Reads with a connection of its own. Each statement sees what is committed when it begins.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let (idle, opening) = (Arc::clone(&self.idle_readers), Arc::clone(&self.opening));
        blocking(move || {
            let _permit = permit;
            let connection = idle.lock().pop();
            let connection = connection.map_or_else(|| opening.reader(), Ok)?;
            let result = work(&connection);
            idle.lock().push(connection);
            result
        })
        .await
    }

    /// Reads several things of one moment.
    pub(super) async fn read_moment<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read(|connection| {
            let moment = connection.unchecked_transaction();
            let moment = moment.map_err(|error| failure::of_step("begin_read", &error))?;
            let result = work(connection);
            moment.finish().map_err(|error| failure::of_step("end_read", &error))?;
            result
        })
        .await
    }

    /// The one way to write: a transaction that holds the write lock from its start, so that nothing in it can fail
    /// because of another process, and what it reads stays true until its end. An error undoes it. Once begun it is
    /// brought to its end, whether the caller still waits or not.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        sync: Sync,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.timed_write(name, sync, work).await.0
    }

    /// One of several writes that come one after the other: when it has ended, the lock is left alone for as long as it was held.
    /// An application looks for it at long intervals, and would find it taken each time.
    pub(super) async fn write_piece<T: Send + 'static>(
        &self,
        name: &'static str,
        sync: Sync,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.timed_piece(name, sync, work).await.0
    }

    /// The same; how long the lock was held, too.
    pub(super) async fn timed_piece<T: Send + 'static>(
        &self,
        name: &'static str,
        sync: Sync,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> (Result<T>, Duration) {
        let (result, held) = self.timed_write(name, sync, work).await;
        tokio::time::sleep(held).await;
        (result, held)
    }

    /// How long the lock was held, too.
    async fn timed_write<T: Send + 'static>(
        &self,
        name: &'static str,
        sync: Sync,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> (Result<T>, Duration) {
        let asked = Instant::now();
        let mut slot = Arc::clone(&self.writer).lock_owned().await;
        let (opening, tally) = (Arc::clone(&self.opening), Arc::clone(&self.tally));
        let lock_held = Arc::clone(&self.lock_held);
        blocking(move || {
            // Taken out: a panic leaves nothing half done behind.
            let mut writer = match slot.take().map_or_else(|| opening.writer(), Ok) {
                Ok(writer) => writer,
                Err(error) => return (Err(error), Duration::ZERO),
            };
            let mut held = Duration::ZERO;
            let result = writer.sync(sync).and_then(|()| {
                let lock = Lock::take(&writer.connection, opening.options.busy_timeout)
                    .map_err(|error| opening.unopened(&error))?;
                let (began, waited_us) = (Instant::now(), micros(asked));
                let result = work(&writer.connection).and_then(|value| {
                    lock.commit().map_err(|error| failure::of_step(name, &error))?;
                    Ok(value)
                });
                held = began.elapsed();
                let ended = if result.is_ok() { Ended::Done } else { Ended::Failed };
                tally.ended(name, held, ended);
                lock_held.ended(name, held);
                tracing::trace!(transaction = name, waited_us, ?held, ?ended, "write");
                result
            });
            checkpoint::if_long(&writer.connection);
            *slot = Some(writer);
            (result, held)
        })
        .await
    }

    pub(super) fn counts(&self) -> Vec<TransactionCount> {
        self.tally.counts()
    }

    pub(super) fn lock_held(&self) -> Option<LockHeld> {
        self.lock_held.last()
    }

    pub(super) async fn close(&self) {
        let writer = self.writer.lock().await.take();
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        let _all_idle = self.readers.acquire_many(all).await;
        let readers = std::mem::take(&mut *self.idle_readers.lock());
        blocking(move || drop((readers, writer))).await;
    }
}

impl Opening {
    fn writer(&self) -> Result<Writer> {
        let connection = self.connection(|connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
            connection.pragma_update(None, "synchronous", Sync::Later.level())?;
            checkpoint::note_commits(connection);
            // From here on the lock is waited for in our own way.
            connection.busy_timeout(Duration::ZERO)
        })?;
        Ok(Writer { connection, sync: Sync::Later })
    }

    fn reader(&self) -> Result<Connection> {
        self.connection(|connection| connection.pragma_update(None, "query_only", true))
    }

    fn connection(&self, set_up: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<Connection> {
        use rusqlite::OpenFlags as Flags;
        let mut flags = Flags::SQLITE_OPEN_READ_WRITE | Flags::SQLITE_OPEN_NO_MUTEX;
        flags.set(Flags::SQLITE_OPEN_CREATE, self.options.create);
        let open = || {
            let connection = Connection::open_with_flags(self.file.path(), flags)?;
            connection.busy_timeout(self.options.busy_timeout)?;
            connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
            connection.pragma_update(None, "foreign_keys", true)?;
            set_up(&connection)?;
            Ok(connection)
        };
        open().map_err(|error| self.unopened(&error))
    }

    /// Texts are read as UTF-8 only.
    fn refuse_utf16(&self, connection: &Connection) -> Result<()> {
        let encoding: String = READ_ENCODING.call().value(connection)?;
        if encoding == "UTF-8" {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "the database {} stores its texts as {encoding}; aftercommit needs UTF-8",
            self.file.name()
        )))
    }

    fn unopened(&self, error: &rusqlite::Error) -> StoreError {
        let (database, why) = (self.file.name(), failure::reason(error));
        if failure::is_busy(error) {
            StoreError::Locked { database, why }
        } else {
            StoreError::Unreachable { database, why }
        }
    }
}

impl Writer {
    /// How durable the next commits are.
    fn sync(&mut self, sync: Sync) -> Result<()> {
        if self.sync != sync {
            self.connection
                .pragma_update(None, "synchronous", sync.level())
                .map_err(|error| failure::of_step("synchronous", &error))?;
            self.sync = sync;
        }
        Ok(())
    }
}

impl Sync {
    const fn level(self) -> &'static str {
        match self {
            Self::Later => "NORMAL",
            Self::Now => "FULL",
        }
    }
}

/// Runs what may block on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The program ends; nobody waits for the answer.
            Err(_) => std::future::pending().await,
        },
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
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
        for (sync, setting) in [(Sync::Later, 1), (Sync::Now, 2), (Sync::Later, 1)] {
            let found = connections.write("test", sync, |connection| {
                Ok(connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).unwrap())
            });
            assert_eq!(found.await.unwrap(), setting, "{sync:?}");
        }
    }

    #[tokio::test]
    async fn a_failed_write_is_undone_and_lets_go_of_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let failed = store.inner.connections.write("test", Sync::Later, |connection| {
            connection.execute_batch("INSERT INTO observer_inbox (event_seq) VALUES (1)").unwrap();
            Err::<(), _>(StoreError::Refused("no".into()))
        });
        failed.await.unwrap_err();
        store.inner.connections.write("test", Sync::Now, |_| Ok(())).await.unwrap();
        assert!(!store.inbox_has_rows().await.unwrap());
    }

    #[tokio::test]
    async fn a_full_disk_is_a_passing_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let write = async |pages: u32| {
            let mut writer = store.inner.connections.writer.lock().await;
            let connection = &writer.as_mut().unwrap().connection;
            connection.pragma_update(None, "max_page_count", pages).unwrap();
            drop(writer);
            store.register(HostId::random(), &"x".repeat(1 << 20), Timestamp::from_micros(0)).await
        };
        // To SQLite this is the same as a disk that is full.
        let error = write(1).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(
            error.to_string().contains("disk is full") && error.to_string().contains("register_host"),
            "{error}"
        );
        write(1_073_741_823).await.expect("it works again when there is room");
    }
}
