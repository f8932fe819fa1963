//! Folding the write-ahead log into the database file. SQLite would do it in the call that commits, when it has let go of the write
//! lock already. The host does it by itself, so that how long a commit takes is how long the lock was held.

use std::cell::Cell;

use rusqlite::Connection;

use super::statement::statements;
use crate::{Result, row::Row as _};

/// The log is folded once it has so many pages of 4 KiB: four times SQLite's default, since each time costs two syncs and the host
/// writes a lot.
const LONG_PAGES: i32 = 4000;

thread_local! {
    /// Of the log, after the last commit of this thread.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

statements! {
    /// As far as nobody reads what is older; waits for nobody.
    FOLD_LOG = "-- fold_log
PRAGMA wal_checkpoint(PASSIVE)";
}

/// From now on the connection folds no log in its commits, and how long the log is, is noted.
pub(super) fn note_commits(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        PAGES.set(pages);
        Ok(())
    }));
}

/// Folds the log, if it was long after the last commit of this thread.
pub(super) fn if_long(connection: &Connection) {
    if PAGES.replace(0) < LONG_PAGES {
        return;
    }
    if let Err(error) = fold(connection) {
        // It is tried again with the next commit, and a database that is damaged says so itself.
        tracing::debug!(%error, "the write-ahead log was not folded");
    }
}

fn fold(connection: &Connection) -> Result<()> {
    if let Some(folded) = FOLD_LOG.call().optional(connection)? {
        let (pages, done) = (folded.integer("log")?, folded.integer("checkpointed")?);
        tracing::trace!(pages, done, "folded the write-ahead log");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_folded_and_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        note_commits(&connection);
        connection.execute_batch("CREATE TABLE t (body BLOB)").unwrap();
        let pages = || std::fs::metadata(path.with_extension("db-wal")).unwrap().len() / 4096;
        let mut longest = 0;
        for _ in 0..40 {
            connection.execute_batch("INSERT INTO t VALUES (zeroblob(2000000))").unwrap();
            longest = longest.max(pages());
            if_long(&connection);
        }
        let most = u64::try_from(LONG_PAGES).unwrap();
        assert!(
            longest >= most && longest < most + 1000,
            "40 times 500 pages were written, the log had {longest}"
        );
    }
}
