//! From the inbox to deliveries.

use std::{collections::HashSet, sync::Arc, time::Duration};

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    event_row,
    inbox_row::{self, InboxEvent},
    quarantine,
    statement::{Record, Statement, rows_as_json, statements},
};
use crate::{
    HostId, Intake, NewDelivery, Plan, Result, StoreError, TakeRequest, Taken,
    intake_batch::{Batch, PlannedDelivery, Rejected, TakenEvent},
    row::Row as _,
};

statements! {
    INBOX_HAS_ROWS = "-- inbox_has_rows
SELECT EXISTS (SELECT 1 FROM observer_inbox)";
    /// Read from the row's header: no image is loaded.
    INBOX_SIZES = "-- inbox_sizes
SELECT i.seq, coalesce(octet_length(i.data), 0) + coalesce(octet_length(i.old), 0)
            + coalesce(octet_length(e.data), 0) + coalesce(octet_length(e.old), 0) AS bytes
FROM observer_inbox AS i LEFT JOIN observer_events AS e ON e.seq = coalesce(i.event_seq, iif(i.entity_type IS NULL, i.seq, NULL))
ORDER BY i.seq LIMIT ?1";
    /// Triggers of older programs write the event themselves, and its seq here.
    TAKE_INBOX = "-- take_inbox
SELECT i.seq, coalesce(i.event_seq, iif(i.entity_type IS NULL AND i.id IS NULL, i.seq, NULL)) AS event_seq,
       i.pending IS NOT NULL AS pending, i.old_id,
       coalesce(e.id, i.id) AS event_id, coalesce(e.entity_type, i.entity_type) AS entity_type,
       coalesce(e.entity_id, i.entity_id) AS entity_id, coalesce(e.event_kind, i.event_kind) AS event_kind,
       coalesce(e.occurred_at, i.occurred_at) AS occurred_at, coalesce(e.data, i.data) AS data,
       coalesce(e.old, i.old) AS old, coalesce(e.changed, i.changed) AS changed,
       coalesce(e.tenant_id, i.tenant_id) AS tenant_id, coalesce(e.actor, i.actor) AS actor,
       coalesce(e.traceparent, i.traceparent) AS traceparent
FROM observer_inbox AS i
     LEFT JOIN observer_events AS e
            ON e.seq = coalesce(i.event_seq, iif(i.entity_type IS NULL AND i.id IS NULL, i.seq, NULL))
WHERE i.seq <= ?1 ORDER BY i.seq";
    WRITE_EVENT = "-- write_event
INSERT INTO observer_events
    (id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
VALUES (CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS TEXT), CAST(?5 AS TEXT), CAST(?6 AS TEXT),
        CAST(?7 AS TEXT), CAST(?8 AS TEXT), CAST(?9 AS TEXT), CAST(?10 AS TEXT), CAST(?11 AS TEXT))";
    /// The write lock is held: what is there up to the last row that was read is what was read.
    EMPTY_INBOX = "-- empty_inbox
DELETE FROM observer_inbox WHERE seq <= ?1";
    /// A clock that was set back does not pin times to where it was before for more than a minute.
    NOTE_TAKEN = "-- note_taken
UPDATE observer_taken SET seq = min(max(seq, ?1), (SELECT us FROM observer_now) + 60000000)";
    /// Whatever is committed was not cleared in its transaction: it would count for those of others.
    CLEAR_CONTEXT = "-- clear_context
UPDATE observer_context SET actor = NULL, tenant_id = NULL, traceparent = NULL
WHERE actor IS NOT NULL OR tenant_id IS NOT NULL OR traceparent IS NOT NULL";
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
     state, attempts, owner, event_bytes, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
       value ->> 8, value ->> 9,
       iif(value ->> 10, 'running', 'ready'), value ->> 10, iif(value ->> 10, ?2, NULL), value ->> 11, ?3
FROM json_each(?1)";
    INSERT_CONDITION_ERRORS = "-- insert_condition_errors
INSERT INTO tb_observer_log
    (event_id, observer, attempt, max_attempts, status, code, message, started_at, duration_us)
SELECT value ->> 0, value ->> 1, 0, 0, 'condition_error', 'condition_error', value ->> 2, ?2, 0
FROM json_each(?1)";
}

#[async_trait]
impl Intake for SqliteStore {
    async fn take(&self, request: TakeRequest, plan: Arc<dyn Plan>) -> Result<Taken> {
        // Looked at without the write lock first: an idle host leaves the database alone.
        if request.limit == 0 || !self.inbox_has_rows().await? {
            return Ok(Taken::default());
        }
        let mut limit = request.limit;
        loop {
            let (part, plan) = (TakeRequest { limit, ..request }, Arc::clone(&plan));
            let write =
                self.inner.connections.write("take", Sync::Later, move |write| take(write, part, &*plan));
            match write.await {
                // Something in these rows can not be read or written: they are halved until it is alone.
                Err(error @ StoreError::Statement { transient: false, .. }) if limit > 1 => {
                    tracing::debug!(%error, limit, "a batch of inbox rows is taken apart");
                    limit = limit.div_ceil(2);
                }
                Err(error @ StoreError::Statement { transient: false, .. }) => {
                    return self.put_aside_first(error.to_string(), request.now).await;
                }
                taken => {
                    let more = limit < request.limit;
                    return taken.map(|taken| Taken { more: taken.more || more, ..taken });
                }
            }
        }
    }

    async fn doorbell(&self, _: HostId, longest: Duration) {
        // The look at the end of the time finds what was not heard.
        let _ = tokio::time::timeout(longest, self.inner.doorbell.wait(self)).await;
    }
}

impl SqliteStore {
    pub(super) async fn inbox_has_rows(&self) -> Result<bool> {
        self.inner.connections.read(|connection| INBOX_HAS_ROWS.call().value(connection)).await
    }

    /// The first row of the inbox can not be taken.
    async fn put_aside_first(&self, reason: String, now: Timestamp) -> Result<Taken> {
        self.inner
            .connections
            .write("put_aside", Sync::Later, move |write| {
                let mut quarantined = Vec::new();
                for row in put_aside_first(write, &reason, now)? {
                    quarantined
                        .push((row.event_id.and_then(|id| id.parse().ok()).unwrap_or_default(), row.reason));
                }
                Ok(Taken { quarantined, more: true, ..Taken::default() })
            })
            .await
    }
}

/// Takes rows within the caller's transaction.
fn take(write: &Connection, request: TakeRequest, plan: &dyn Plan) -> Result<Taken> {
    let Some(inbox) = read_inbox(write, request.limit, request.max_bytes)? else {
        return Ok(Taken::default());
    };
    let mut events = Vec::with_capacity(inbox.records.len());
    let mut rejected = Vec::new();
    for record in &inbox.records {
        // The place of a change that was not made.
        if !record.flag("pending")? {
            take_row(write, record, request.now, &mut events, &mut rejected)?;
        }
    }
    let mut batch = Batch::of(events, plan);
    decide(write, &mut batch, request)?;
    insert(write, &batch, request)?;
    EMPTY_INBOX.call().bind(inbox.last_seq).execute(write)?;
    NOTE_TAKEN.call().bind(inbox.last_seq).execute(write)?;
    if CLEAR_CONTEXT.call().execute(write)? > 0 {
        tracing::warn!(
            "a transaction left its values in observer_context; it must clear them before it commits"
        );
    }
    Ok(batch.into_taken(rejected, inbox.more))
}

/// What was read from the inbox.
struct Inbox {
    records: Vec<Record>,
    last_seq: i64,
    more: bool,
}

/// The first rows, of no more than so many bytes; a larger one alone. `None` when there is nothing.
fn read_inbox(connection: &Connection, limit: usize, max_bytes: usize) -> Result<Option<Inbox>> {
    let sizes = INBOX_SIZES.call().bind_limit(limit).all(connection)?;
    let (mut left, mut last_seq, mut rows) = (max_bytes, None, 0);
    for size in &sizes {
        let bytes = usize::try_from(size.integer("bytes")?).unwrap_or(usize::MAX);
        if rows > 0 && bytes > left {
            break;
        }
        left = left.saturating_sub(bytes);
        last_seq = Some(size.integer("seq")?);
        rows += 1;
    }
    let Some(last_seq) = last_seq else { return Ok(None) };
    let records = TAKE_INBOX.call().bind(last_seq).all(connection)?;
    Ok(Some(Inbox { records, last_seq, more: rows == limit || rows < sizes.len() }))
}

/// Writes the events of a row, or puts them aside.
fn take_row(
    write: &Connection,
    record: &Record,
    now: Timestamp,
    events: &mut Vec<TakenEvent>,
    rejected: &mut Vec<(i64, Rejected)>,
) -> Result<()> {
    if let Some(seq) = record.optional_integer("event_seq")? {
        let columns = event_row::columns(record)?;
        match columns.assemble() {
            Ok(event) => events.push(TakenEvent { seq, event: Arc::new(event), bytes: columns.bytes() }),
            Err(reason) => {
                let row = columns.rejected(reason);
                quarantine::put_reference(write, seq, &row, now)?;
                rejected.push((seq, row));
            }
        }
        return Ok(());
    }
    for InboxEvent { columns, event } in inbox_row::events(record)? {
        match event {
            Ok(event) => {
                columns.bind(WRITE_EVENT.call()).execute(write)?;
                let (seq, bytes) = (write.last_insert_rowid(), columns.bytes());
                events.push(TakenEvent { seq, event: Arc::new(event), bytes });
            }
            Err(row) => {
                quarantine::put_image(write, &columns, &row.reason, now)?;
                rejected.push((record.integer("seq")?, row));
            }
        }
    }
    Ok(())
}

/// Puts the first row of the inbox aside, with the events that it would be.
fn put_aside_first(write: &Connection, reason: &str, now: Timestamp) -> Result<Vec<Rejected>> {
    let mut aside = Vec::new();
    let Some(Inbox { records, last_seq, .. }) = read_inbox(write, 1, 0)? else { return Ok(aside) };
    for record in &records {
        if let Some(seq) = record.optional_integer("event_seq")? {
            let row = event_row::columns(record)?.rejected(reason.to_owned());
            quarantine::put_reference(write, seq, &row, now)?;
            aside.push(row);
        } else {
            for InboxEvent { columns, .. } in inbox_row::events(record)? {
                quarantine::put_image(write, &columns, reason, now)?;
                aside.push(columns.rejected(reason.to_owned()));
            }
        }
    }
    EMPTY_INBOX.call().bind(last_seq).execute(write)?;
    NOTE_TAKEN.call().bind(last_seq).execute(write)?;
    Ok(aside)
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
        planned.event_bytes,
    )
}
