//! The write lock of the database file, which the processes share.

use std::{
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::failure;

/// Between two tries to take the lock: from the first, doubling, to the longest. SQLite's own way to wait goes from one
/// to a hundred milliseconds, while the locks of a host and of a well-behaved application last some tenths of one: who
/// meets a lock twice would wait many times longer than it lasts.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// A transaction that holds the lock. Dropped without [`Lock::commit`], it is undone.
pub(super) struct Lock<'c> {
    connection: &'c Connection,
}

impl<'c> Lock<'c> {
    /// Begins a transaction with the lock; waits for other processes no longer than `patience`.
    pub(super) fn take(connection: &'c Connection, patience: Duration) -> rusqlite::Result<Self> {
        let asked = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match connection.prepare_cached("BEGIN IMMEDIATE")?.execute(()) {
                Ok(_) => return Ok(Self { connection }),
                Err(error) if failure::is_busy(&error) && asked.elapsed() < patience => {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "SQLite tells nobody when the lock is free"
                    )]
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes it so.
    pub(super) fn commit(self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute(()).map(drop)
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // After a commit nothing is open; and a full disk makes SQLite itself end a transaction.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}
