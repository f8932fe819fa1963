//! From the inbox to deliveries.

use std::{collections::HashSet, sync::Arc};

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    event_row,
    statement::{Statement, rows_as_json, statements},
};
use crate::{
    Intake, NewDelivery, Plan, Result, TakeRequest, Taken,
    intake_batch::{Batch, PlannedDelivery, Rejected, TakenEvent},
    row::Row as _,
};

statements! {
    INBOX_HAS_ROWS = "-- inbox_has_rows
SELECT EXISTS (SELECT 1 FROM observer_inbox)";
    TAKE_INBOX = "-- take_inbox
SELECT i.seq, e.id AS event_id, e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data, e.old, e.changed,
       e.tenant_id, e.actor, e.traceparent
FROM observer_inbox AS i LEFT JOIN observer_events AS e ON e.seq = i.seq
ORDER BY i.seq LIMIT ?1";
    /// The write lock is held: what is there up to the last row that was read is what was read.
    EMPTY_INBOX = "-- empty_inbox
DELETE FROM observer_inbox WHERE seq <= ?1";
    LIVE_IDS = "-- live_ids
SELECT id FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
    LIVE_KEYS = "-- live_keys
SELECT DISTINCT ordering_key FROM observer_deliveries
WHERE ordering_key IN (SELECT value FROM json_each(?1))";
    DISABLED_OBSERVERS = "-- disabled_observers
SELECT name FROM tb_observer WHERE enabled = 0";
    INSERT_DELIVERIES = "-- insert_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, position, observer, action, action_type, priority, max_attempts, ordering_key, paused,
     state, attempts, owner, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
       value ->> 8, value ->> 9,
       iif(value ->> 10, 'running', 'ready'), value ->> 10, iif(value ->> 10, ?2, NULL), ?3
FROM json_each(?1)";
    INSERT_CONDITION_ERRORS = "-- insert_condition_errors
INSERT INTO tb_observer_log
    (event_id, observer, attempt, max_attempts, status, code, message, started_at, duration_us)
SELECT value ->> 0, value ->> 1, 0, 0, 'condition_error', 'condition_error', value ->> 2, ?2, 0
FROM json_each(?1)";
    QUARANTINE_EVENTS = "-- quarantine_events
INSERT INTO observer_quarantine (event_seq, event_id, entity_type, entity_id, reason, quarantined_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, ?2
FROM json_each(?1)";
}

#[async_trait]
impl Intake for SqliteStore {
    async fn take(&self, request: TakeRequest, plan: Arc<dyn Plan>) -> Result<Taken> {
        // Looked at without the write lock first: an idle host leaves the database alone.
        if request.limit == 0 || !self.inbox_has_rows().await? {
            return Ok(Taken::default());
        }
        self.inner
            .connections
            .write("take", Sync::Later, move |write| {
                let Some(inbox) = read_inbox(write, request.limit)? else { return Ok(Taken::default()) };
                let mut batch = Batch::of(inbox.events, &*plan);
                decide(write, &mut batch, request)?;
                insert(write, &batch, request)?;
                quarantine(write, &inbox.rejected, request.now)?;
                EMPTY_INBOX.call().bind(inbox.last_seq).execute(write)?;
                let more = inbox.rows == request.limit;
                Ok(batch.into_taken(inbox.rejected, more))
            })
            .await
    }

    async fn doorbell(&self) {
        self.inner.doorbell.wait(self).await;
    }
}

impl SqliteStore {
    pub(super) async fn inbox_has_rows(&self) -> Result<bool> {
        self.inner.connections.read(|connection| INBOX_HAS_ROWS.call().value(connection)).await
    }
}

/// What was read from the inbox.
struct Inbox {
    rows: usize,
    last_seq: i64,
    events: Vec<TakenEvent>,
    rejected: Vec<(i64, Rejected)>,
}

/// `None` when there is nothing.
fn read_inbox(connection: &Connection, limit: usize) -> Result<Option<Inbox>> {
    let records = TAKE_INBOX.call().bind_limit(limit).all(connection)?;
    let Some(last) = records.last() else { return Ok(None) };
    let mut inbox = Inbox {
        rows: records.len(),
        last_seq: last.get("seq")?,
        events: Vec::with_capacity(records.len()),
        rejected: Vec::new(),
    };
    for record in &records {
        let seq = record.get("seq")?;
        match event_row::read(record)? {
            Ok(event) => inbox.events.push(TakenEvent { seq, event: Arc::new(event), bytes: 0 }),
            Err(rejected) => inbox.rejected.push((seq, rejected)),
        }
    }
    Ok(Some(inbox))
}

pub(super) fn quarantine(
    connection: &Connection,
    rejected: &[(i64, Rejected)],
    now: Timestamp,
) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rejected
        .iter()
        .map(|(seq, row)| (seq, &row.event_id, &row.entity_type, &row.entity_id, &row.reason))
        .collect();
    QUARANTINE_EVENTS.call().bind(rows_as_json(&rows)).bind_time(now).execute(connection)?;
    Ok(())
}

/// Reads what is live, and decides what is made and what runs at once.
fn decide(connection: &Connection, batch: &mut Batch, request: TakeRequest) -> Result<()> {
    if batch.planned.is_empty() {
        return Ok(());
    }
    let mut live = HashSet::new();
    for record in LIVE_IDS.call().bind(rows_as_json(&batch.ids())).all(connection)? {
        live.insert(record.uuid("id")?);
    }
    batch.drop_live(live);
    let disabled = names(DISABLED_OBSERVERS, None, "name", connection)?;
    let keys = batch.ordering_keys();
    let live_keys = if keys.is_empty() {
        HashSet::new()
    } else {
        names(LIVE_KEYS, Some(rows_as_json(&keys)), "ordering_key", connection)?
    };
    batch.assign(&disabled, live_keys, request.own, request.own_bytes);
    Ok(())
}

/// One column of all rows.
fn names(
    statement: Statement,
    argument: Option<String>,
    column: &str,
    connection: &Connection,
) -> Result<HashSet<String>> {
    let call = statement.call();
    let call = match argument {
        Some(argument) => call.bind(argument),
        None => call,
    };
    call.all(connection)?.iter().map(|record| record.get(column)).collect()
}

fn insert(connection: &Connection, batch: &Batch, request: TakeRequest) -> Result<()> {
    if !batch.planned.is_empty() {
        INSERT_DELIVERIES
            .call()
            .bind(rows_as_json(&batch.planned.iter().map(delivery_row).collect::<Vec<_>>()))
            .bind(request.host.to_string())
            .bind_time(request.now)
            .execute(connection)?;
    }
    if !batch.errors.is_empty() {
        let rows: Vec<_> =
            batch.errors.iter().map(|(event, observer, why)| (*event, &**observer, why)).collect();
        INSERT_CONDITION_ERRORS
            .call()
            .bind(rows_as_json(&rows))
            .bind_time(request.now)
            .execute(connection)?;
    }
    Ok(())
}

/// For `insert_deliveries`.
fn delivery_row(planned: &PlannedDelivery) -> impl serde::Serialize {
    let NewDelivery { id, observer, action, action_type, priority, max_attempts, ordering_key, hold: _ } =
        &planned.delivery;
    (
        id,
        planned.event_seq,
        planned.position,
        &**observer,
        &**action,
        &**action_type,
        priority,
        max_attempts,
        ordering_key,
        u8::from(planned.paused),
        u8::from(planned.owned),
    )
}
