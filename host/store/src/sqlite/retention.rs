//! Dropping what is old, a few rows in each transaction, so that the application never waits long for the lock. What is old and still
//! needed is passed over once in a run, and not each time that something is dropped.

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    piece,
    statement::{Statement, rows_as_json, statements},
};
use crate::{Purged, Result, Retention, RetentionLimits, row::Row as _};

/// Old events that are looked at together.
const PAGE: usize = 200;

/// Pages that are given back to the file system in one transaction, and how many transactions a call may have for it.
const SHRINK_PAGES: u32 = 32;
const SHRINK_PIECES: usize = 50;

statements! {
    OLD_EVENTS = "-- old_events
SELECT e.seq, e.occurred_at, coalesce(octet_length(e.data), 0) + coalesce(octet_length(e.old), 0) AS bytes,
       EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.event_seq = e.seq)
       OR EXISTS (SELECT 1 FROM observer_quarantine AS q WHERE q.event_seq = e.seq)
       OR EXISTS (SELECT 1 FROM observer_deliveries AS d WHERE d.event_seq = e.seq) AS is_needed
FROM observer_events AS e
WHERE e.occurred_at < ?1 AND (e.occurred_at, e.seq) > (?2, ?3)
ORDER BY e.occurred_at, e.seq LIMIT ?4";
    PURGE_EVENTS = "-- purge_events
DELETE FROM observer_events
WHERE seq IN (SELECT e.seq FROM json_each(?1) AS found CROSS JOIN observer_events AS e ON e.seq = found.value
              WHERE NOT EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.event_seq = e.seq)
                AND NOT EXISTS (SELECT 1 FROM observer_quarantine AS q WHERE q.event_seq = e.seq)
                AND NOT EXISTS (SELECT 1 FROM observer_deliveries AS d WHERE d.event_seq = e.seq))";
    PURGE_LOG = "-- purge_log
DELETE FROM tb_observer_log
WHERE pk_log IN (SELECT pk_log FROM tb_observer_log WHERE started_at < ?1 ORDER BY started_at LIMIT ?2)";
    PURGE_HISTORY = "-- purge_history
DELETE FROM observer_dlq_history
WHERE pk_history IN (SELECT pk_history FROM observer_dlq_history WHERE at < ?1 ORDER BY at LIMIT ?2)";
    /// A tenth of the file is left for what comes.
    CAN_SHRINK = "-- can_shrink
SELECT (SELECT auto_vacuum FROM pragma_auto_vacuum) = 2
       AND (SELECT freelist_count FROM pragma_freelist_count) > (SELECT page_count FROM pragma_page_count) / 10";
}

/// How far a run has come among the events that are old: when the last one that was looked at occurred, and its seq.
#[derive(Default)]
pub(super) struct Reached(Mutex<Option<(String, i64)>>);

#[async_trait]
impl Retention for SqliteStore {
    async fn purge(&self, limits: RetentionLimits) -> Result<Purged> {
        let RetentionLimits { events_before, log_before, batch } = limits;
        let events = self.purge_events(events_before, batch).await?;
        let mut log_rows = 0;
        for statement in [PURGE_LOG, PURGE_HISTORY] {
            log_rows += self.purge_rows(statement, log_before, batch - log_rows).await?;
        }
        let mut more = batch > 0 && (events == batch || log_rows == batch);
        if !more {
            more = self.shrink().await?;
        }
        Ok(Purged { events, log_rows, more })
    }
}

impl SqliteStore {
    async fn purge_events(&self, before: Timestamp, most: usize) -> Result<usize> {
        let mut purged = 0;
        while purged < most {
            let (after, seq) = self.inner.purged.get().unwrap_or_default();
            let page = OLD_EVENTS.call().bind_time(before).bind(after).bind(seq).bind_limit(PAGE);
            let page = self.inner.connections.read(move |connection| page.all(connection)).await?;
            let is_last = page.len() < PAGE;
            let (mut seqs, mut weights, mut reached) = (Vec::new(), Vec::new(), None);
            for record in &page {
                if seqs.len() == most - purged {
                    break;
                }
                let seq = record.integer("seq")?;
                reached = Some((record.string("occurred_at")?, seq));
                if !record.flag("is_needed")? {
                    seqs.push(seq);
                    weights.push(piece::weight(usize::try_from(record.integer("bytes")?).unwrap_or(0)));
                }
            }
            for piece in piece::pieces(&weights) {
                let call = PURGE_EVENTS.call().bind(rows_as_json(&seqs[piece]));
                let purge = move |write: &Connection| call.execute(write);
                purged += self.inner.connections.write_piece("purge", Sync::Later, purge).await?;
            }
            let is_over = is_last && purged < most;
            self.inner.purged.set(reached.filter(|_| !is_over));
            if is_over {
                break;
            }
        }
        Ok(purged)
    }

    async fn purge_rows(&self, statement: Statement, before: Timestamp, most: usize) -> Result<usize> {
        let mut purged = 0;
        while purged < most {
            let wanted = (most - purged).min(piece::MOST);
            let call = statement.call().bind_time(before).bind_limit(wanted);
            let purge = move |write: &Connection| call.execute(write);
            let found = self.inner.connections.write_piece("purge", Sync::Later, purge).await?;
            purged += found;
            if found < wanted {
                break;
            }
        }
        Ok(purged)
    }

    /// Gives free pages back to the file system, where the application's database is made for that. Whether there are more.
    async fn shrink(&self) -> Result<bool> {
        let connections = &self.inner.connections;
        for _ in 0..SHRINK_PIECES {
            if !connections.read(|connection| CAN_SHRINK.call().value(connection)).await? {
                return Ok(false);
            }
            connections
                .write_piece("shrink", Sync::Later, |write| {
                    let statement = format!("PRAGMA incremental_vacuum({SHRINK_PAGES})");
                    write.execute_batch(&statement).map_err(|error| super::failure::of_step("shrink", &error))
                })
                .await?;
        }
        Ok(true)
    }
}

impl Reached {
    fn get(&self) -> Option<(String, i64)> {
        self.0.lock().clone()
    }

    fn set(&self, reached: Option<(String, i64)>) {
        *self.0.lock() = reached;
    }
}
