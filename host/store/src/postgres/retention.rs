//! Dropping what is old: whole days where all of a day is old, and row by row, a bounded number at a time, what lies
//! outside of the days' partitions. Also makes the partitions of the days to come.

use async_trait::async_trait;

use super::{PostgresStore, connection::Sync, locks, session::Session, statement::statements};
use crate::{Purged, Result, Retention, RetentionLimits};

/// So many days have their partition ahead of time: a host may be down for a week before rows go into the default one.
pub(super) const DAYS_AHEAD: i32 = 8;

statements! {
    MAKE_PARTITIONS = "-- make_partitions
SELECT observer_make_partitions('observer_events', $1) + observer_make_partitions('tb_observer_log', $1)";
    DROP_EVENTS = "-- drop_event_partitions
SELECT observer_drop_partitions('observer_events', $1)";
    DROP_LOG = "-- drop_log_partitions
SELECT observer_drop_partitions('tb_observer_log', $1)";
    PURGE_EVENTS = "-- purge_events
DELETE FROM observer_events_default
WHERE (seq, occurred_at) IN (
    SELECT e.seq, e.occurred_at FROM observer_events_default AS e
    WHERE e.occurred_at < $1
      AND NOT EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.place = 0 AND coalesce(i.event_seq, i.seq) = e.seq)
      AND NOT EXISTS (SELECT 1 FROM observer_deliveries AS d WHERE d.event_seq = e.seq)
    ORDER BY e.occurred_at LIMIT $2)";
    PURGE_LOG = "-- purge_log
DELETE FROM tb_observer_log_default
WHERE (pk_log, started_at) IN (
    SELECT pk_log, started_at FROM tb_observer_log_default WHERE started_at < $1 ORDER BY started_at LIMIT $2)";
    PURGE_HISTORY = "-- purge_history
DELETE FROM observer_dlq_history
WHERE pk_history IN (SELECT pk_history FROM observer_dlq_history WHERE at < $1 ORDER BY at LIMIT $2)";
}

#[async_trait]
impl Retention for PostgresStore {
    async fn purge(&self, limits: RetentionLimits) -> Result<Purged> {
        let connections = &self.inner.connections;
        // Each in a transaction of its own: they hold locks that others wait for, as short as can be.
        connections
            .write("make_partitions", Sync::Later, |session| Box::pin(make_partitions(session)))
            .await?;
        let dropped = connections
            .write("drop_partitions", Sync::Later, |session| Box::pin(drop_partitions(session, limits)))
            .await?;
        let purged =
            connections.write("purge", Sync::Later, |session| Box::pin(purge(session, limits))).await?;
        Ok(Purged {
            events: purged.events + dropped.events,
            log_rows: purged.log_rows + dropped.log_rows,
            more: purged.more,
        })
    }
}

pub(super) async fn make_partitions(session: &mut Session<'_>) -> Result<()> {
    locks::migrations(session).await?;
    let made: i32 = MAKE_PARTITIONS.call().bind(DAYS_AHEAD).value(session).await?;
    if made > 0 {
        tracing::info!(made, "made the partitions of the days to come");
    }
    Ok(())
}

async fn drop_partitions(session: &mut Session<'_>, limits: RetentionLimits) -> Result<Purged> {
    locks::purge(session).await?;
    let events: i64 = DROP_EVENTS.call().bind_time(limits.events_before).value(session).await?;
    let log_rows: i64 = DROP_LOG.call().bind_time(limits.log_before).value(session).await?;
    let rows = |count: i64| usize::try_from(count).unwrap_or_default();
    Ok(Purged { events: rows(events), log_rows: rows(log_rows), more: false })
}

async fn purge(session: &mut Session<'_>, limits: RetentionLimits) -> Result<Purged> {
    let RetentionLimits { events_before, log_before, batch } = limits;
    locks::purge(session).await?;
    let events = PURGE_EVENTS.call().bind_time(events_before).bind_limit(batch).execute(session).await?;
    let mut log_rows = 0;
    for statement in [PURGE_LOG, PURGE_HISTORY] {
        let left = batch - log_rows;
        log_rows += statement.call().bind_time(log_before).bind_limit(left).execute(session).await?;
    }
    Ok(Purged { events, log_rows, more: batch > 0 && (events == batch || log_rows == batch) })
}
