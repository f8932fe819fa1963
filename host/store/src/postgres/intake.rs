//! From the inbox to deliveries.
//!
//! Two hosts never take the same row: each locks what it takes and passes over what another has locked. Where order
//! matters they take in turn instead. A row is deleted by the transaction that makes its deliveries.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_core::{EntityEvent, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore,
    connection::Sync,
    event_row, locks,
    quarantine::{self, Aside, Place},
    session::Session,
    statement::{int, statements},
    time::At,
};
use crate::{
    HostId, Intake, Plan, Result, StoreError, TakeRequest, Taken,
    intake_batch::{Batch, Rejected, TakenEvent},
};

statements! {
    /// The first row that is there. Also says how many pages of the table and its index that touched, and the number that was given
    /// to a change last.
    FIRST_IN_INBOX = "-- first_in_inbox
WITH first AS MATERIALIZED (
    SELECT (SELECT place FROM observer_inbox WHERE place > $1 ORDER BY place, seq LIMIT 1) AS place
)
SELECT place, coalesce(pg_sequence_last_value('observer_events_seq'::regclass), 0) AS number,
       pg_stat_get_xact_blocks_fetched('observer_inbox'::regclass)
              + pg_stat_get_xact_blocks_fetched('observer_inbox_pkey'::regclass) AS pages
FROM first";
    /// Images are read only as far as there is room for them; what they have in bytes is known without reading them.
    READ_INBOX = "-- read_inbox
WITH head AS MATERIALIZED (
    SELECT ctid AS at, place, seq, coalesce(octet_length(data), 0) + coalesce(octet_length(old), 0) AS bytes
    FROM observer_inbox WHERE place >= $1 ORDER BY place, seq LIMIT $2 FOR UPDATE SKIP LOCKED
), fitting AS MATERIALIZED (
    SELECT at FROM (SELECT at, sum(bytes) OVER (ORDER BY place, seq) AS upto, row_number() OVER (ORDER BY place, seq) AS n
                    FROM head) AS s
    WHERE upto <= $3 OR n = 1
)
SELECT i.place, i.seq, i.id AS event_id, i.entity_type, i.entity_id, i.event_kind, i.occurred_at, i.data, i.old, i.changed,
       i.tenant_id, i.actor, i.traceparent, i.problem, CASE WHEN i.event_kind IS NULL AND i.id IS NULL THEN coalesce(i.event_seq, i.seq) END AS points_at,
       (SELECT count(*) FROM head) AS found
FROM observer_inbox AS i
WHERE i.ctid = ANY (ARRAY(SELECT at FROM fitting))
ORDER BY i.place, i.seq";
    /// Where the first row is, without reading what it holds.
    FIRST_ROW = "-- first_row
SELECT place, seq FROM observer_inbox WHERE place >= $1 ORDER BY place, seq LIMIT 1 FOR UPDATE SKIP LOCKED";
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
SELECT name FROM tb_observer WHERE NOT enabled";
    LIVE_KEYS = "-- live_keys
SELECT DISTINCT ordering_key FROM observer_deliveries WHERE ordering_key = ANY($1)";
    /// An event that was put into the inbox again makes a conflict with each of its deliveries that is still live.
    INSERT_DELIVERIES = "-- insert_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, event_at, event_id, event_bytes, position, observer, action, action_type, priority, max_attempts,
     ordering_key, paused, state, attempts, owner, created_at)
SELECT id, event_seq, event_at, event_id, event_bytes, position, observer, action, action_type, priority, max_attempts,
       ordering_key, paused, CASE WHEN owned THEN 'running' ELSE 'ready' END, owned::integer,
       CASE WHEN owned THEN $15::uuid END, $16
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::integer[], $6::integer[], $7::text[], $8::text[],
            $9::text[], $10::integer[], $11::integer[], $12::text[], $13::boolean[], $14::boolean[])
     AS n (id, event_seq, event_at, event_id, event_bytes, position, observer, action, action_type, priority,
           max_attempts, ordering_key, paused, owned)
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
        if request.limit == 0 {
            return Ok(Taken::default());
        }
        // Looked at without a transaction first: an idle host leaves the database alone.
        let Some(first) = self.first_in_inbox().await? else { return Ok(Taken::default()) };
        let plan = &*plan;
        let mut request = request;
        let mut put_aside = Vec::new();
        loop {
            let taking = self
                .inner
                .connections
                .write("take", Sync::Later, |session| Box::pin(take(session, request, first, plan)));
            match taking.await {
                Ok((mut taken, last)) => {
                    self.inner.reach.took(last);
                    taken.more |= !put_aside.is_empty();
                    taken.quarantined.append(&mut put_aside);
                    if taken.more {
                        self.fell_behind(request.host).await;
                    }
                    return Ok(taken);
                }
                // The fault of a row: the batch is taken apart until it is found.
                Err(StoreError::Row { .. }) if request.limit > 1 => {
                    request.limit = request.limit.div_ceil(2).min(request.limit - 1);
                }
                Err(StoreError::Row { statement, why }) => {
                    let reason = format!("the database refuses it: {statement}: {why}");
                    let moved = self.inner.connections.write("set_row_aside", Sync::Later, |session| {
                        Box::pin(set_first_aside(session, first, &reason, request.now))
                    });
                    put_aside.extend(moved.await?);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn doorbell(&self, host: HostId, longest: Duration) {
        self.watch(host, longest).await;
    }
}

impl PostgresStore {
    async fn first_in_inbox(&self) -> Result<Option<i64>> {
        let reach = &self.inner.reach;
        let behind = reach.start(Instant::now());
        let mut session = self.inner.connections.read().await?;
        let looked = Instant::now();
        // What points at an event has the place 0.
        let after = if behind == 0 { -1 } else { behind };
        let Some(record) = FIRST_IN_INBOX.call().bind(after).optional(&mut session).await? else {
            return Ok(None);
        };
        self.inner.watch.looked(record.get("number")?);
        reach.looked(behind, record.get("pages")?, looked.elapsed(), Instant::now());
        record.get("place")
    }
}

/// Takes what is there from the place `first` on. Also returns the last place that was taken as a whole.
async fn take(
    session: &mut Session<'_>,
    request: TakeRequest,
    first: i64,
    plan: &dyn Plan,
) -> Result<(Taken, i64)> {
    if plan.is_ordered() {
        locks::takes(session).await?;
    }
    let Some(mut inbox) = read_inbox(session, first, request).await? else {
        return Ok((Taken::default(), 0));
    };
    let events = store(session, &mut inbox).await?;
    let mut batch = Batch::of(events, plan);
    decide(session, &mut batch, request).await?;
    insert_deliveries(session, &mut batch, request.host, request.now).await?;
    insert_errors(session, &batch, request.now).await?;
    quarantine::set_aside(session, &inbox.rejected, request.now).await?;
    let rejected = inbox.rejected.into_iter().map(|(_, row)| (0, row)).collect();
    Ok((batch.into_taken(rejected, inbox.more), inbox.last))
}

/// What was read from the inbox, in order.
struct Inbox {
    /// Up to this place nothing is left that could be seen.
    last: i64,
    more: bool,
    changes: Vec<Change>,
    /// Events that are there already.
    pointed_at: Vec<TakenEvent>,
    /// Rows that point at an event, with its seq.
    pointers: Vec<(Place, i64)>,
    rejected: Vec<(Aside, Rejected)>,
}

/// A change that became an event.
struct Change {
    place: Place,
    event: EntityEvent,
    bytes: usize,
}

/// `None` when there is nothing.
async fn read_inbox(session: &mut Session<'_>, first: i64, request: TakeRequest) -> Result<Option<Inbox>> {
    let call = READ_INBOX.call().bind(first).bind_limit(request.limit).bind_limit(request.max_bytes);
    let records = call.all(session).await?;
    let Some(last) = records.last() else { return Ok(None) };
    let found: i64 = last.get("found")?;
    let all = records.len() < request.limit && i64::try_from(records.len()).is_ok_and(|read| read == found);
    let place: i64 = last.get("place")?;
    let mut inbox = Inbox {
        // More rows of a statement may have the place of the last one.
        last: if all { place } else { place - 1 },
        more: !all,
        changes: Vec::with_capacity(records.len()),
        pointed_at: Vec::new(),
        pointers: Vec::new(),
        rejected: Vec::new(),
    };
    for record in &records {
        let place = Place { place: record.get("place")?, seq: record.get("seq")? };
        if let Some(event_seq) = record.get::<Option<i64>>("points_at")? {
            inbox.pointers.push((place, event_seq));
            continue;
        }
        match event_row::read_change(record)? {
            Ok(event) => inbox.changes.push(Change { place, event, bytes: event_row::bytes(record) }),
            Err(rejected) => inbox.rejected.push((Aside::Inbox(place), rejected)),
        }
    }
    drop(records);
    follow(session, &mut inbox).await?;
    Ok(Some(inbox))
}

/// Reads the events that rows of the inbox point at.
async fn follow(session: &mut Session<'_>, inbox: &mut Inbox) -> Result<()> {
    let seqs: Vec<i64> = inbox.pointers.iter().map(|(_, event_seq)| *event_seq).collect();
    let mut found = event_row::read_by_seq(session, &seqs).await?;
    for seq in seqs {
        match found.remove(&seq) {
            Some((Ok(event), bytes)) => {
                inbox.pointed_at.push(TakenEvent { seq, event: Arc::new(event), bytes });
            }
            Some((Err(rejected), _)) => inbox.rejected.push((Aside::Event(seq), rejected)),
            None => inbox.rejected.push((Aside::Event(seq), event_row::missing())),
        }
    }
    Ok(())
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

/// Puts the first row aside without reading what it holds.
async fn set_first_aside(
    session: &mut Session<'_>,
    first: i64,
    reason: &str,
    now: Timestamp,
) -> Result<Option<(Uuid, String)>> {
    let Some(record) = FIRST_ROW.call().bind(first).optional(session).await? else { return Ok(None) };
    let place = Place { place: record.get("place")?, seq: record.get("seq")? };
    let row = Rejected { event_id: None, entity_type: None, entity_id: None, reason: reason.to_owned() };
    // A row that only points at an event has nothing to keep.
    quarantine::set_aside(session, &[(Aside::Inbox(place), row)], now).await?;
    Ok(Some((Uuid::nil(), reason.to_owned())))
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
        .bind(rows.iter().map(|row| int(row.event_bytes)).collect::<Vec<_>>())
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
        .bind(batch.errors.iter().map(|(.., message)| session.storable(message)).collect::<Vec<_>>())
        .bind_time(now)
        .execute(session)
        .await?;
    Ok(())
}
