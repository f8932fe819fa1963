//! From the inbox to deliveries.
//!
//! Two hosts never take the same row: each locks what it takes and passes over what another has locked. Where order
//! matters they take in turn instead. A row is deleted by the transaction that makes its deliveries.

use std::{collections::HashSet, sync::Arc, time::Instant};

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore,
    connection::Sync,
    event_row, locks,
    session::Session,
    statement::{int, statements},
    time::At,
};
use crate::{
    HostId, Intake, Plan, Result, TakeRequest, Taken,
    intake_batch::{Batch, Rejected, TakenEvent},
};

statements! {
    /// The first row that is there. Also says how many pages of the table and its index that touched.
    FIRST_IN_INBOX = "-- first_in_inbox
WITH first AS MATERIALIZED (
    SELECT (SELECT seq FROM observer_inbox WHERE seq > $1 ORDER BY seq LIMIT 1) AS seq
)
SELECT seq, pg_stat_get_xact_blocks_fetched('observer_inbox'::regclass)
            + pg_stat_get_xact_blocks_fetched('observer_inbox_pkey'::regclass) AS pages
FROM first";
    TAKE_INBOX = "-- take_inbox
DELETE FROM observer_inbox
WHERE ctid = ANY (ARRAY(SELECT ctid FROM observer_inbox WHERE seq >= $1 ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING seq, occurred_at";
    DISABLED_OBSERVERS = "-- disabled_observers
SELECT name FROM tb_observer WHERE NOT enabled";
    LIVE_KEYS = "-- live_keys
SELECT DISTINCT ordering_key FROM observer_deliveries WHERE ordering_key = ANY($1)";
    /// An event that was put into the inbox again makes a conflict with each of its deliveries that is still live.
    INSERT_DELIVERIES = "-- insert_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, event_at, event_id, position, observer, action, action_type, priority, max_attempts, ordering_key,
     paused, state, attempts, owner, created_at)
SELECT id, event_seq, event_at, event_id, position, observer, action, action_type, priority, max_attempts,
       ordering_key, paused, CASE WHEN owned THEN 'running' ELSE 'ready' END, owned::integer,
       CASE WHEN owned THEN $14::uuid END, $15
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::integer[], $6::text[], $7::text[],
            $8::text[], $9::integer[], $10::integer[], $11::text[], $12::boolean[], $13::boolean[])
     AS n (id, event_seq, event_at, event_id, position, observer, action, action_type, priority, max_attempts,
           ordering_key, paused, owned)
ON CONFLICT (id) DO NOTHING
RETURNING id";
    INSERT_CONDITION_ERRORS = "-- insert_condition_errors
INSERT INTO tb_observer_log
    (event_id, observer, attempt, max_attempts, status, code, message, started_at, duration_us)
SELECT event_id, observer, 0, 0, 'condition_error', 'condition_error', message, $4, 0
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (event_id, observer, message)";
    QUARANTINE_EVENTS = "-- quarantine_events
INSERT INTO observer_quarantine (event_seq, event_id, entity_type, entity_id, reason, quarantined_at)
SELECT event_seq, event_id, entity_type, entity_id, reason, $6
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[])
     AS n (event_seq, event_id, entity_type, entity_id, reason)";
}

#[async_trait]
impl Intake for PostgresStore {
    async fn take(&self, request: TakeRequest, plan: Arc<dyn Plan>) -> Result<Taken> {
        if request.limit == 0 {
            return Ok(Taken::default());
        }
        // Looked at without a transaction first: an idle host leaves the database alone.
        let Some(first) = self.first_in_inbox().await? else { return Ok(Taken::default()) };
        let plan = &*plan;
        let connections = &self.inner.connections;
        let (taken, last) = connections
            .write("take", Sync::Later, |session| Box::pin(take(session, request, first, plan)))
            .await?;
        self.inner.reach.took(last);
        Ok(taken)
    }

    async fn doorbell(&self) {
        self.inner.doorbell.inbox().await;
    }
}

impl PostgresStore {
    async fn first_in_inbox(&self) -> Result<Option<i64>> {
        let reach = &self.inner.reach;
        let behind = reach.start(Instant::now());
        let mut session = self.inner.connections.read().await?;
        let looked = Instant::now();
        let Some(record) = FIRST_IN_INBOX.call().bind(behind).optional(&mut session).await? else {
            return Ok(None);
        };
        reach.looked(behind, record.get("pages")?, looked.elapsed(), Instant::now());
        record.get("seq")
    }
}

/// Takes what is there from the row `first` on. Also returns the last seq that was taken.
async fn take(
    session: &mut Session<'_>,
    request: TakeRequest,
    first: i64,
    plan: &dyn Plan,
) -> Result<(Taken, i64)> {
    if plan.is_ordered() {
        locks::takes(session).await?;
    }
    let inbox = read_inbox(session, first, request.limit).await?;
    if inbox.rows == 0 {
        return Ok((Taken::default(), 0));
    }
    let mut batch = Batch::of(inbox.events, plan);
    decide(session, &mut batch, request).await?;
    insert_deliveries(session, &mut batch, request.host, request.now).await?;
    insert_errors(session, &batch, request.now).await?;
    quarantine(session, &inbox.rejected, request.now).await?;
    Ok((batch.into_taken(inbox.rejected, inbox.rows == request.limit), inbox.last))
}

/// What was taken from the inbox, in order.
struct Inbox {
    rows: usize,
    last: i64,
    events: Vec<TakenEvent>,
    rejected: Vec<(i64, Rejected)>,
}

async fn read_inbox(session: &mut Session<'_>, first: i64, limit: usize) -> Result<Inbox> {
    let records = TAKE_INBOX.call().bind(first).bind_limit(limit).all(session).await?;
    let mut seqs = Vec::with_capacity(records.len());
    let mut places = Vec::with_capacity(records.len());
    for record in &records {
        let seq: i64 = record.get("seq")?;
        seqs.push(seq);
        // Without a time there was no such event when the row was put in.
        if let Some(At(at)) = record.get("occurred_at")? {
            places.push((seq, at));
        }
    }
    seqs.sort_unstable();
    let mut found = event_row::read_all(session, &places).await?;
    let last = seqs.last().copied().unwrap_or_default();
    let mut inbox =
        Inbox { rows: records.len(), last, events: Vec::with_capacity(records.len()), rejected: Vec::new() };
    for seq in seqs {
        match found.remove(&seq).unwrap_or_else(|| Err(event_row::missing())) {
            Ok(event) => inbox.events.push(TakenEvent { seq, event: Arc::new(event), bytes: 0 }),
            Err(rejected) => inbox.rejected.push((seq, rejected)),
        }
    }
    Ok(inbox)
}

/// Reads what is live, and decides what is made and what runs at once.
async fn decide(session: &mut Session<'_>, batch: &mut Batch, request: TakeRequest) -> Result<()> {
    if batch.planned.is_empty() {
        return Ok(());
    }
    // Before anything is read that must stay true.
    locks::intake(session, &batch.ordering_keys()).await?;
    let records = DISABLED_OBSERVERS.call().all(session).await?;
    let disabled: HashSet<String> = records.iter().map(|record| record.get("name")).collect::<Result<_>>()?;
    let keys = batch.ordering_keys();
    let mut live_keys = HashSet::new();
    if !keys.is_empty() {
        for record in LIVE_KEYS.call().bind(keys).all(session).await? {
            live_keys.insert(record.get("ordering_key")?);
        }
    }
    batch.assign(&disabled, live_keys, request.own, request.own_bytes);
    Ok(())
}

async fn insert_deliveries(
    session: &mut Session<'_>,
    batch: &mut Batch,
    host: HostId,
    now: Timestamp,
) -> Result<()> {
    if batch.planned.is_empty() {
        return Ok(());
    }
    let rows = &batch.planned;
    let made = INSERT_DELIVERIES
        .call()
        .bind(batch.ids())
        .bind(rows.iter().map(|row| row.event_seq).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| At(row.event.occurred_at)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| int(row.position)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.delivery.observer).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.delivery.action).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.delivery.action_type).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| i32::from(row.delivery.priority)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| int(row.delivery.max_attempts)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.delivery.ordering_key.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.paused).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.owned).collect::<Vec<_>>())
        .bind(host.0)
        .bind_time(now)
        .all(session)
        .await?;
    if made.len() < batch.planned.len() {
        let made: HashSet<Uuid> = made.iter().map(|record| record.get("id")).collect::<Result<_>>()?;
        batch.planned.retain(|planned| made.contains(&planned.delivery.id.0));
    }
    Ok(())
}

async fn insert_errors(session: &mut Session<'_>, batch: &Batch, now: Timestamp) -> Result<()> {
    if batch.errors.is_empty() {
        return Ok(());
    }
    INSERT_CONDITION_ERRORS
        .call()
        .bind(batch.errors.iter().map(|(event, ..)| *event).collect::<Vec<_>>())
        .bind(batch.errors.iter().map(|(_, observer, _)| &**observer).collect::<Vec<_>>())
        .bind(batch.errors.iter().map(|(.., message)| storable(message)).collect::<Vec<_>>())
        .bind_time(now)
        .execute(session)
        .await?;
    Ok(())
}

pub(super) async fn quarantine(
    session: &mut Session<'_>,
    rejected: &[(i64, Rejected)],
    now: Timestamp,
) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let rows = || rejected.iter().map(|(_, row)| row);
    QUARANTINE_EVENTS
        .call()
        .bind(rejected.iter().map(|(seq, _)| *seq).collect::<Vec<_>>())
        .bind(
            rows()
                .map(|row| row.event_id.as_ref().and_then(|id| id.parse::<Uuid>().ok()))
                .collect::<Vec<_>>(),
        )
        .bind(rows().map(|row| row.entity_type.as_deref()).collect::<Vec<_>>())
        .bind(rows().map(|row| row.entity_id.as_deref()).collect::<Vec<_>>())
        .bind(rows().map(|row| storable(&row.reason)).collect::<Vec<_>>())
        .bind_time(now)
        .execute(session)
        .await?;
    Ok(())
}

/// PostgreSQL's texts hold every character but one: U+0000, which a receiver's answer may have.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
