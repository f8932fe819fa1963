//! From the inbox to deliveries.
//!
//! Takes of several hosts follow each other, and each takes the first rows that it can see. So events are numbered in the
//! order of changes: whoever changed a row after another saw that change committed, and so does a take that sees the
//! later one. A row is deleted by the transaction that makes its deliveries.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    PostgresStore,
    connection::Sync,
    inbox::{self, Inbox},
    locks,
    quarantine::{self, Aside, Place},
    session::Session,
    statement::{int, statements},
    time::At,
    turns,
    watermark::{Scan, Watermark},
};
use crate::{
    HostId, Intake, Plan, Result, StoreError, TakeRequest, Taken,
    intake_batch::{Allowance, Batch, Rejected, TakenEvent},
};

statements! {
    /// Changes become events, numbered in the order in which they are taken.
    STORE_EVENTS = "-- store_events
WITH gone AS (
    DELETE FROM observer_inbox AS i USING unnest($1::bigint[], $2::bigint[]) AS t (place, seq)
    WHERE i.place = t.place AND i.seq = t.seq
    RETURNING i.*
)
INSERT INTO observer_events
    (seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
SELECT nextval('observer_events_seq'), g.event_id, g.entity_type, g.entity_id, g.kind, g.occurred_at, g.data::json, g.old::json,
       g.changed::json, nullif(g.tenant_id, ''), nullif(g.actor, ''), nullif(g.traceparent, '')
FROM (SELECT gone.*, e.event_id, e.kind
      FROM gone JOIN unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[]) AS e (place, seq, event_id, kind)
           USING (place, seq)
      ORDER BY place, seq) AS g
RETURNING seq, id";
    DELETE_INBOX = "-- delete_inbox
DELETE FROM observer_inbox AS i USING unnest($1::bigint[], $2::bigint[]) AS t (place, seq)
WHERE i.place = t.place AND i.seq = t.seq";
    DISABLED_OBSERVERS = "-- disabled_observers
SELECT name FROM tb_observer WHERE NOT enabled AND name = ANY($1)";
    /// Of all that is live with a key exactly one is not blocked.
    LIVE_KEYS = "-- live_keys
SELECT k.ordering_key
FROM (SELECT DISTINCT unnest($1::text[])) AS k (ordering_key) CROSS JOIN LATERAL (
    SELECT 1 FROM observer_deliveries AS d WHERE d.ordering_key = k.ordering_key AND NOT d.blocked LIMIT 1) AS live";
    /// An event that was put into the inbox again makes a conflict with each of its deliveries that is still live.
    INSERT_DELIVERIES = "-- insert_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, event_at, event_id, event_bytes, position, observer, action, action_type, priority, max_attempts,
     ordering_key, blocked, state, attempts, owner, created_at)
SELECT id, event_seq, event_at, event_id, event_bytes, position, observer, action, action_type, priority, max_attempts,
       ordering_key, blocked, CASE WHEN owned THEN 'running' ELSE 'ready' END, owned::integer,
       CASE WHEN owned THEN $15::uuid END, $16
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::integer[], $6::integer[], $7::text[], $8::text[],
            $9::text[], $10::integer[], $11::integer[], $12::text[], $13::boolean[], $14::boolean[])
     AS n (id, event_seq, event_at, event_id, event_bytes, position, observer, action, action_type, priority,
           max_attempts, ordering_key, blocked, owned)
ON CONFLICT (id) DO NOTHING
RETURNING id";
    INSERT_CONDITION_ERRORS = "-- insert_condition_errors
INSERT INTO tb_observer_log
    (event_id, observer, attempt, max_attempts, status, code, message, started_at, duration_us)
SELECT event_id, observer, 0, 0, 'condition_error', 'condition_error', message, $4, 0
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (event_id, observer, message)";
}

#[async_trait]
impl Intake for PostgresStore {
    async fn take(&self, request: TakeRequest, plan: Arc<dyn Plan>) -> Result<Taken> {
        // Looked at without a transaction first: an idle host leaves the database alone.
        if request.limit == 0 || !self.inbox_has_rows().await? {
            return Ok(Taken::default());
        }
        let (scan, plan) = (self.inner.progress.scan(), &*plan);
        let scan = &scan;
        let mut request = request;
        while request.limit > 1 {
            let taking = self
                .inner
                .connections
                .write("take", Sync::Later, |session| Box::pin(take(session, request, scan, plan)));
            match taking.await {
                Ok((taken, watermark)) => {
                    if let Some(watermark) = watermark {
                        self.inner.progress.set(watermark);
                    }
                    return Ok(self.noted(request.host, taken).await);
                }
                // The fault of a row: the batch is taken apart until it is found.
                Err(StoreError::Row { .. }) => {
                    request.limit = request.limit.div_ceil(2).min(request.limit - 1);
                }
                Err(error) => return Err(error),
            }
        }
        let taken = self.take_one(request, scan, plan).await?;
        Ok(self.noted(request.host, taken).await)
    }

    async fn doorbell(&self, host: HostId, longest: Duration) {
        self.watch(host, longest).await;
    }
}

impl PostgresStore {
    async fn inbox_has_rows(&self) -> Result<bool> {
        let mut session = self.inner.connections.read().await?;
        inbox::has_rows(&mut session, &self.inner.progress, &self.inner.watch).await
    }

    /// Whether something was left behind decides whether commits have to ring.
    async fn noted(&self, host: HostId, taken: Taken) -> Taken {
        if taken.more {
            self.fell_behind(host).await;
        }
        taken
    }

    /// Takes the first row, or puts it aside if the database refuses it.
    async fn take_one(&self, request: TakeRequest, scan: &Scan<'_>, plan: &dyn Plan) -> Result<Taken> {
        let first = Mutex::new(None);
        let found = &first;
        let taking = self
            .inner
            .connections
            .write("take", Sync::Later, |session| Box::pin(take_first(session, request, scan, plan, found)));
        let refused = match taking.await {
            Err(StoreError::Row { statement, why }) => {
                format!("the database refuses it: {statement}: {why}")
            }
            taken => return taken,
        };
        // Known by its place, which is all of it that can be read.
        let Some(place) = *first.lock() else {
            return Ok(Taken::default());
        };
        let row = Rejected { event_id: None, entity_type: None, entity_id: None, reason: refused.clone() };
        let aside = [(Aside::Inbox(place), row)];
        let aside = &aside;
        let moving = self.inner.connections.write("set_row_aside", Sync::Later, |session| {
            Box::pin(quarantine::set_aside(session, aside, request.now))
        });
        moving.await?;
        Ok(Taken { quarantined: vec![(Uuid::nil(), refused)], more: true, ..Taken::default() })
    }
}

/// Takes what is there. Also returns up to where all was taken.
async fn take(
    session: &mut Session<'_>,
    request: TakeRequest,
    scan: &Scan<'_>,
    plan: &dyn Plan,
) -> Result<(Taken, Option<Watermark>)> {
    locks::takes(session).await?;
    let Some(inbox) = inbox::read(session, scan, request).await? else {
        return Ok((Taken::default(), None));
    };
    let watermark = inbox.watermark.clone();
    Ok((deliver(session, inbox, request, plan).await?, Some(watermark)))
}

/// Takes the first row, and says in `found` which it is before anything of it is read.
async fn take_first(
    session: &mut Session<'_>,
    request: TakeRequest,
    scan: &Scan<'_>,
    plan: &dyn Plan,
    found: &Mutex<Option<Place>>,
) -> Result<Taken> {
    locks::takes(session).await?;
    let first = inbox::first(session, scan).await?;
    *found.lock() = first;
    let Some(place) = first else { return Ok(Taken::default()) };
    let Some(inbox) = inbox::read_at(session, place, request).await? else { return Ok(Taken::default()) };
    deliver(session, inbox, request, plan).await
}

/// Makes events of what was read, and deliveries of the events.
async fn deliver(
    session: &mut Session<'_>,
    mut inbox: Inbox,
    request: TakeRequest,
    plan: &dyn Plan,
) -> Result<Taken> {
    let events = store(session, &mut inbox).await?;
    let mut batch = Batch::of(events, plan);
    decide(session, &mut batch, request).await?;
    insert_deliveries(session, &mut batch, request.host, request.now).await?;
    insert_errors(session, &batch, request.now).await?;
    quarantine::set_aside(session, &inbox.rejected, request.now).await?;
    let rejected = inbox.rejected.into_iter().map(|(_, row)| row).collect();
    Ok(batch.into_taken(rejected, inbox.more))
}

/// Makes events of changes and empties the inbox of what was read. Returns the events in the order of the inbox: what points at
/// an event goes before all changes.
async fn store(session: &mut Session<'_>, inbox: &mut Inbox) -> Result<Vec<TakenEvent>> {
    let mut events = std::mem::take(&mut inbox.pointed_at);
    if !inbox.pointers.is_empty() {
        let (places, seqs) = columns(&inbox.pointers.iter().map(|(place, _)| *place).collect::<Vec<_>>());
        DELETE_INBOX.call().bind(places).bind(seqs).execute(session).await?;
    }
    if inbox.changes.is_empty() {
        return Ok(events);
    }
    let (places, seqs) = columns(&inbox.changes.iter().map(|change| change.place).collect::<Vec<_>>());
    let stored = STORE_EVENTS
        .call()
        .bind(places)
        .bind(seqs)
        .bind(inbox.changes.iter().map(|change| change.event.id).collect::<Vec<_>>())
        .bind(inbox.changes.iter().map(|change| change.event.event_kind.as_str()).collect::<Vec<_>>())
        .all(session)
        .await?;
    let mut numbers = HashMap::with_capacity(stored.len());
    for record in &stored {
        numbers.insert(record.get::<Uuid>("id")?, record.get::<i64>("seq")?);
    }
    for change in std::mem::take(&mut inbox.changes) {
        // One that is missing was deleted by somebody meanwhile, although it was locked: then there is no such row.
        let Some(&seq) = numbers.get(&change.event.id) else { continue };
        events.push(TakenEvent { seq, event: Arc::new(change.event), bytes: change.bytes });
    }
    Ok(events)
}

/// As statements take places.
fn columns(places: &[Place]) -> (Vec<i64>, Vec<i64>) {
    places.iter().map(|place| (place.place, place.seq)).unzip()
}

/// Reads what is live, and decides what is made and what runs at once.
async fn decide(session: &mut Session<'_>, batch: &mut Batch, request: TakeRequest) -> Result<()> {
    if batch.planned.is_empty() {
        return Ok(());
    }
    let observers: Vec<_> = batch.observers().into_iter().collect();
    let records = DISABLED_OBSERVERS.call().bind(observers).all(session).await?;
    let disabled: HashSet<String> = records.iter().map(|record| record.get("name")).collect::<Result<_>>()?;
    let keys = batch.ordering_keys();
    let mut live_keys = HashSet::new();
    if !keys.is_empty() {
        // Before anything is read that must stay true.
        locks::keys(session, &keys).await?;
        for record in LIVE_KEYS.call().bind(keys).all(session).await? {
            live_keys.insert(record.get("ordering_key")?);
        }
    }
    batch.assign(&disabled, live_keys, &mut Allowance::of(request));
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
        .bind(rows.iter().map(|row| int(row.event_bytes)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| int(row.position)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.delivery.observer).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.delivery.action).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &*row.delivery.action_type).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| i32::from(row.delivery.priority)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| int(row.delivery.max_attempts)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.delivery.ordering_key.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.blocked).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.owned).collect::<Vec<_>>())
        .bind(host.0)
        .bind_time(now)
        .all(session)
        .await?;
    let waiting: HashSet<&str> = rows
        .iter()
        .filter(|row| row.blocked)
        .filter_map(|row| row.delivery.ordering_key.as_deref())
        .collect();
    turns::give(session, &waiting.into_iter().collect::<Vec<_>>()).await?;
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
        .bind(batch.errors.iter().map(|(.., message)| session.storable(message)).collect::<Vec<_>>())
        .bind_time(now)
        .execute(session)
        .await?;
    Ok(())
}
