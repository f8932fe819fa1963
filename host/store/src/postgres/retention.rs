//! Dropping what is old: whole days where all of a day is old, and row by row, a bounded number at a time, what lies
//! outside of the days' partitions. What is old and still needed is passed over once in a run, and so is what was dropped and is
//! held by a snapshot. Also makes the partitions of the days to come.

use std::collections::HashSet;

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    PostgresStore, completion,
    connection::Sync,
    locks,
    session::Session,
    statement::{Call, Record, Statement, statements},
    time::At,
};
use crate::{Purged, Result, Retention, RetentionLimits, row::Row as _};

/// So many days have their partition ahead of time: a host may be down for a week before rows go into the default one.
pub(super) const DAYS_AHEAD: i32 = 8;

statements! {
    MAKE_PARTITIONS = "-- make_partitions
SELECT observer_make_partitions('observer_events', $1) + observer_make_partitions('tb_observer_log', $1)";
    DROP_EVENTS = "-- drop_event_partitions
SELECT observer_drop_partitions('observer_events', $1)";
    DROP_LOG = "-- drop_log_partitions
SELECT observer_drop_partitions('tb_observer_log', $1)";
    OLD_EVENTS = "-- old_events
SELECT seq AS id, occurred_at AS at FROM observer_events_default
WHERE occurred_at < $1 AND (occurred_at, seq) > (coalesce($2::timestamptz, '-infinity'), $3)
ORDER BY occurred_at, seq LIMIT $4";
    /// Reads all that is live once: no index knows its events, because each delivery would pay for it.
    NEEDED_EVENTS = "-- needed_events
SELECT d.event_seq AS id FROM unnest($1::bigint[]) AS old (seq) JOIN observer_deliveries AS d ON d.event_seq = old.seq
UNION ALL
SELECT old.seq FROM unnest($1::bigint[]) AS old (seq)
     JOIN observer_inbox AS i ON i.place = 0 AND coalesce(i.event_seq, i.seq) = old.seq";
    PURGE_EVENTS = "-- purge_events
DELETE FROM observer_events_default WHERE seq = ANY($1)";
    PURGE_LOG = "-- purge_log
WITH old AS MATERIALIZED (
    SELECT pk_log, started_at FROM tb_observer_log_default
    WHERE started_at < $1 AND (started_at, pk_log) > (coalesce($2::timestamptz, '-infinity'), $3) ORDER BY started_at, pk_log LIMIT $4
)
DELETE FROM tb_observer_log_default AS l USING old
WHERE l.pk_log = old.pk_log AND l.started_at = old.started_at
RETURNING l.pk_log AS id, l.started_at AS at";
    PURGE_HISTORY = "-- purge_history
WITH old AS MATERIALIZED (
    SELECT pk_history FROM observer_dlq_history
    WHERE at < $1 AND (at, pk_history) > (coalesce($2::timestamptz, '-infinity'), $3) ORDER BY at, pk_history LIMIT $4
)
DELETE FROM observer_dlq_history AS h USING old WHERE h.pk_history = old.pk_history
RETURNING h.pk_history AS id, h.at";
}

/// Where a row lies in the order in which they are dropped: its time, and its number.
type Position = (Timestamp, i64);

/// How far a run has come in each table.
#[derive(Clone, Copy, Default)]
struct Positions {
    events: Option<Position>,
    log: Option<Position>,
    history: Option<Position>,
}

/// The same, of the run of this process.
#[derive(Default)]
pub(super) struct Reached(Mutex<Positions>);

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
        let reached = *self.inner.purged.0.lock();
        let (purged, reached) = connections
            .write("purge", Sync::Later, |session| Box::pin(purge(session, limits, reached)))
            .await?;
        *self.inner.purged.0.lock() = reached;
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

/// Drops a batch of each, and says how far it has come; a table that has come to its end begins anew the next time.
async fn purge(
    session: &mut Session<'_>,
    limits: RetentionLimits,
    mut reached: Positions,
) -> Result<(Purged, Positions)> {
    let RetentionLimits { events_before, log_before, batch } = limits;
    locks::purge(session).await?;
    let mut log_rows = 0;
    for (statement, reached) in [(PURGE_LOG, &mut reached.log), (PURGE_HISTORY, &mut reached.history)] {
        let left = batch - log_rows;
        let dropped = after(statement, *reached, log_before, left).all(session).await?;
        *reached = last(&dropped, left)?;
        log_rows += dropped.len();
    }
    let old = after(OLD_EVENTS, reached.events, events_before, batch).all(session).await?;
    reached.events = last(&old, batch)?;
    let events = purge_events(session, ids(&old)?).await?;
    let more = batch > 0 && (old.len() == batch || log_rows == batch);
    Ok((Purged { events, log_rows, more }, reached))
}

/// Drops those of these events that nothing live needs; how many.
async fn purge_events(session: &mut Session<'_>, mut seqs: Vec<i64>) -> Result<usize> {
    if seqs.is_empty() {
        return Ok(0);
    }
    completion::join_by_hash(session).await?;
    let needed = ids(&NEEDED_EVENTS.call().bind(&seqs).all(session).await?)?;
    let needed: HashSet<i64> = needed.into_iter().collect();
    seqs.retain(|seq| !needed.contains(seq));
    PURGE_EVENTS.call().bind(seqs).execute(session).await
}

fn ids(records: &[Record]) -> Result<Vec<i64>> {
    records.iter().map(|record| record.integer("id")).collect()
}

/// The next rows behind this position.
fn after(statement: Statement, position: Option<Position>, before: Timestamp, rows: usize) -> Call {
    let (at, id) = position.unzip();
    statement.call().bind_time(before).bind(at.map(At)).bind(id.unwrap_or(i64::MIN)).bind_limit(rows)
}

/// The position of the last of these rows; none if there are no more.
fn last(records: &[Record], wanted: usize) -> Result<Option<Position>> {
    if records.len() < wanted || wanted == 0 {
        return Ok(None);
    }
    let positions = records.iter().map(|record| Ok((record.time("at")?, record.integer("id")?)));
    Ok(positions.collect::<Result<Vec<_>>>()?.into_iter().max())
}
