//! Dropping what is old, a bounded number of rows at a time so that the application never waits long for the lock.

use async_trait::async_trait;

use super::{SqliteStore, connection::Sync, statement::statements};
use crate::{Purged, Result, Retention, RetentionLimits};

statements! {
    PURGE_EVENTS = "-- purge_events
DELETE FROM observer_events
WHERE seq IN (SELECT e.seq FROM observer_events AS e
              WHERE e.occurred_at < ?1
                AND NOT EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.event_seq = e.seq)
                AND NOT EXISTS (SELECT 1 FROM observer_quarantine AS q WHERE q.event_seq = e.seq)
                AND NOT EXISTS (SELECT 1 FROM observer_deliveries AS d WHERE d.event_seq = e.seq)
              ORDER BY e.occurred_at LIMIT ?2)";
    PURGE_LOG = "-- purge_log
DELETE FROM tb_observer_log
WHERE pk_log IN (SELECT pk_log FROM tb_observer_log WHERE started_at < ?1 ORDER BY started_at LIMIT ?2)";
    PURGE_HISTORY = "-- purge_history
DELETE FROM observer_dlq_history
WHERE pk_history IN (SELECT pk_history FROM observer_dlq_history WHERE at < ?1 ORDER BY at LIMIT ?2)";
}

#[async_trait]
impl Retention for SqliteStore {
    async fn purge(&self, limits: RetentionLimits) -> Result<Purged> {
        let RetentionLimits { events_before, log_before, batch } = limits;
        self.inner
            .connections
            .write("purge", Sync::Later, move |write| {
                let events = PURGE_EVENTS.call().bind_time(events_before).bind_limit(batch).execute(write)?;
                let mut log_rows = 0;
                for statement in [PURGE_LOG, PURGE_HISTORY] {
                    let left = batch - log_rows;
                    log_rows += statement.call().bind_time(log_before).bind_limit(left).execute(write)?;
                }
                Ok(Purged { events, log_rows, more: batch > 0 && (events == batch || log_rows == batch) })
            })
            .await
    }
}
