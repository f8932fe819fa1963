//! From the inbox to deliveries.

use std::{collections::HashSet, ops::Range, sync::Arc, time::Duration};

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::{Sync, blocking},
    doorbell::Distance,
    event_row,
    inbox::{self, Content, Image, Inbox, InboxRow},
    inbox_row::{self, InboxEvent},
    piece, quarantine,
    statement::{Statement, rows_as_json, statements},
};
use crate::{
    HostId, Intake, NewDelivery, Plan, Result, StoreError, TakeRequest, Taken,
    intake_batch::{Allowance, Batch, PlannedDelivery, Rejected},
    row::Row as _,
};

statements! {
    INBOX_HAS_ROWS = "-- inbox_has_rows
SELECT EXISTS (SELECT 1 FROM observer_inbox)";
    EMPTY_INBOX = "-- empty_inbox
DELETE FROM observer_inbox WHERE seq IN (SELECT value FROM json_each(?1))";
    /// A clock that was set back does not pin times to where it was before for more than a minute.
    NOTE_TAKEN = "-- note_taken
UPDATE observer_taken SET seq = min(max(seq, ?1), (SELECT us FROM observer_now) + 60000000)";
    /// Whatever is committed was not cleared in its transaction: it would count for those of others.
    CLEAR_CONTEXT = "-- clear_context
UPDATE observer_context SET actor = NULL, tenant_id = NULL, traceparent = NULL
WHERE actor IS NOT NULL OR tenant_id IS NOT NULL OR traceparent IS NOT NULL";
    LIVE_IDS = "-- live_ids
SELECT id FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
    /// Of all that is live with a key exactly one is not blocked.
    LIVE_KEYS = "-- live_keys
SELECT ordering_key FROM observer_deliveries
WHERE ordering_key IN (SELECT value FROM json_each(?1)) AND blocked = 0";
    DISABLED_OBSERVERS = "-- disabled_observers
SELECT name FROM tb_observer WHERE enabled = 0 AND name IN (SELECT value FROM json_each(?1))";
    INSERT_DELIVERIES = "-- insert_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, position, observer, action, action_type, priority, max_attempts, ordering_key,
     state, attempts, owner, event_bytes, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
       value ->> 8, iif(value ->> 9, 'running', 'ready'), value ->> 9, iif(value ->> 9, ?2, NULL), value ->> 10, ?3
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
        // Looked at first: an idle host reads one row.
        if request.limit == 0 || !self.inbox_has_rows().await? {
            return Ok(Taken::default());
        }
        let TakeRequest { limit, max_bytes, .. } = request;
        let raw = self.inner.connections.read_moment(move |moment| inbox::read(moment, limit, max_bytes));
        let raw = raw.await?;
        let inbox = blocking(move || raw.plan(&*plan, request.now)).await?;
        let (mut taken, mut allowance) = (Taken::default(), Allowance::of(request));
        let (mut next, mut most) = (0, usize::MAX);
        while next < inbox.rows.len() {
            let fitting = piece::first(inbox.rows[next..].iter().map(InboxRow::weight));
            let piece = next..next + fitting.min(most);
            match self.take_piece(&inbox, piece.clone(), request, allowance).await {
                Ok(Some((part, left))) => {
                    (next, most, allowance) = (piece.end, usize::MAX, left);
                    taken.merge(part);
                }
                // Another host was faster, or somebody changed a row.
                Ok(None) => return Ok(Taken { more: true, ..taken }),
                // Something in these rows can not be written: they are halved until it is alone.
                Err(error @ StoreError::Statement { transient: false, .. }) if piece.len() > 1 => {
                    tracing::debug!(%error, rows = piece.len(), "a batch of inbox rows is taken apart");
                    most = piece.len().div_ceil(2);
                }
                Err(error @ StoreError::Statement { transient: false, .. }) => {
                    let seq = inbox.rows[piece.start].mark.seq;
                    taken.merge(self.put_aside(seq, error.to_string(), request.now).await?);
                    (next, most) = (piece.end, usize::MAX);
                }
                // What was taken is reported; the next call meets the error again if it lasts.
                Err(error) if next > 0 => {
                    tracing::debug!(%error, "a part of a batch of inbox rows was taken");
                    return Ok(Taken { more: true, ..taken });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Taken { more: inbox.more, ..taken })
    }

    async fn doorbell(&self, _: HostId, longest: Duration) {
        // The look at the end of the time finds what was not heard.
        let looks = Distance { least: Duration::from_millis(1), most: Duration::from_millis(50) };
        let heard = self.inner.doorbell.wait(looks, || self.inbox_has_rows());
        let _ = tokio::time::timeout(longest, heard).await;
    }
}

impl SqliteStore {
    pub(super) async fn inbox_has_rows(&self) -> Result<bool> {
        self.inner.connections.read(|connection| INBOX_HAS_ROWS.call().value(connection)).await
    }

    /// Takes these rows in one transaction, and says what may still be owned; `None` when they are not what they were.
    async fn take_piece(
        &self,
        inbox: &Inbox,
        piece: Range<usize>,
        request: TakeRequest,
        allowance: Allowance,
    ) -> Result<Option<(Taken, Allowance)>> {
        let rows = Arc::clone(&inbox.rows);
        // Rows of some size come one after the other, each with a lock of some length.
        let is_heavy = rows[piece.clone()].iter().map(InboxRow::weight).sum::<usize>() > 2 * piece.len();
        let work = move |write: &Connection| take(write, &rows[piece], request, allowance);
        let connections = &self.inner.connections;
        if is_heavy {
            connections.write_piece("take", Sync::Later, work).await
        } else {
            connections.write("take", Sync::Later, work).await
        }
    }

    /// The row can not be taken.
    async fn put_aside(&self, seq: i64, reason: String, now: Timestamp) -> Result<Taken> {
        let write = self.inner.connections.write("put_aside", Sync::Later, move |write| {
            let rows = put_aside(write, seq, &reason, now)?;
            Ok(Taken { quarantined: rows.into_iter().map(Rejected::named).collect(), ..Taken::default() })
        });
        write.await
    }
}

/// Takes rows within the caller's transaction.
fn take(
    write: &Connection,
    rows: &[InboxRow],
    request: TakeRequest,
    mut allowance: Allowance,
) -> Result<Option<(Taken, Allowance)>> {
    if !inbox::is_unchanged(write, rows)? {
        return Ok(None);
    }
    let mut batch = Batch::default();
    let mut rejected = Vec::new();
    for row in rows {
        take_row(write, row, request.now, &mut batch, &mut rejected)?;
    }
    decide(write, &mut batch, &mut allowance)?;
    insert(write, &batch, request)?;
    let seqs: Vec<_> = rows.iter().map(|row| row.mark.seq).collect();
    empty(write, &seqs)?;
    if CLEAR_CONTEXT.call().execute(write)? > 0 {
        tracing::warn!(
            "a transaction left its values in observer_context; it must clear them before it commits"
        );
    }
    Ok(Some((batch.into_taken(rejected, false), allowance)))
}

/// Writes the events of a row, or puts them aside.
fn take_row(
    write: &Connection,
    row: &InboxRow,
    now: Timestamp,
    batch: &mut Batch,
    rejected: &mut Vec<Rejected>,
) -> Result<()> {
    match &row.content {
        Content::Nothing => {}
        Content::Pointer { event_seq, event } => match &**event {
            Ok(event) => batch.add(*event_seq, event),
            Err(reason) => {
                quarantine::put_reference(write, Some(*event_seq), reason, now)?;
                rejected.push(reason.clone());
            }
        },
        Content::Images(images) => {
            for Image { write: call, event } in images {
                call.execute(write)?;
                match event {
                    Ok(event) => batch.add(write.last_insert_rowid(), event),
                    Err(reason) => rejected.push(reason.clone()),
                }
            }
        }
    }
    Ok(())
}

/// Removes rows that were taken.
fn empty(write: &Connection, seqs: &[i64]) -> Result<()> {
    EMPTY_INBOX.call().bind(rows_as_json(seqs)).execute(write)?;
    NOTE_TAKEN.call().bind(seqs.iter().max()).execute(write)?;
    Ok(())
}

/// Puts a row of the inbox aside, with the events that it would be.
fn put_aside(write: &Connection, seq: i64, reason: &str, now: Timestamp) -> Result<Vec<Rejected>> {
    let mut aside = Vec::new();
    let Some((mark, record)) = inbox::read_one(write, seq)? else { return Ok(aside) };
    if let Some(event_seq) = mark.event_seq {
        let row = event_row::columns(&record)?.rejected(reason.to_owned());
        quarantine::put_reference(write, Some(event_seq), &row, now)?;
        aside.push(row);
    } else {
        for InboxEvent { columns, .. } in inbox_row::events(&record)? {
            quarantine::image(&columns, reason, now).execute(write)?;
            aside.push(columns.rejected(reason.to_owned()));
        }
    }
    empty(write, &[seq])?;
    Ok(aside)
}

/// Reads what is live, and decides what is made and what runs at once.
fn decide(connection: &Connection, batch: &mut Batch, allowance: &mut Allowance) -> Result<()> {
    if batch.planned.is_empty() {
        return Ok(());
    }
    let mut live = HashSet::new();
    for record in LIVE_IDS.call().bind(rows_as_json(&batch.ids())).all(connection)? {
        live.insert(record.uuid("id")?);
    }
    batch.drop_live(live);
    let observers: Vec<_> = batch.observers().into_iter().collect();
    let disabled = names(DISABLED_OBSERVERS, rows_as_json(&observers), "name", connection)?;
    let keys = batch.ordering_keys();
    let live_keys = if keys.is_empty() {
        HashSet::new()
    } else {
        names(LIVE_KEYS, rows_as_json(&keys), "ordering_key", connection)?
    };
    batch.assign(&disabled, live_keys, allowance);
    Ok(())
}

/// One column of all rows.
fn names(
    statement: Statement,
    argument: String,
    column: &str,
    connection: &Connection,
) -> Result<HashSet<String>> {
    statement.call().bind(argument).all(connection)?.iter().map(|record| record.get(column)).collect()
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
        u8::from(planned.owned),
        planned.event_bytes,
    )
}
