//! Events as people see them.

use aftercommit_core::{EntityEvent, EventKind, Timestamp, event::captured_place};
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore,
    connection::Sync,
    deliveries,
    event_row::{self, Read},
    locks,
    session::Session,
    statement::{Record, statements},
};
use crate::{EventFilter, EventHistory, Events, Result, Rows, StoreError, events::AttemptRow};

statements! {
    EVENT_EXISTS = "-- event_exists
SELECT EXISTS (SELECT 1 FROM observer_events WHERE id = $1) OR EXISTS (SELECT 1 FROM observer_inbox WHERE id = $1)";
    /// The transaction has a number before the event has: intake relies on it (see `watermark`).
    EMIT_EVENT = "-- emit_event
WITH emitted AS (
    INSERT INTO observer_inbox
        (place, seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
    SELECT seq, 0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM (SELECT nextval('observer_events_seq') AS seq WHERE pg_current_xact_id() IS NOT NULL) AS next
)
SELECT pg_notify('observer_inbox', '')::text";
    /// What waits in the inbox is newer than what was taken from it.
    LIST_EVENTS = "-- list_events
(SELECT true AS is_waiting, place, seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed,
        tenant_id, actor, traceparent, problem
 FROM observer_inbox
 WHERE event_kind IS NOT NULL AND ($1::text IS NULL OR entity_type = $1) AND ($2::text IS NULL OR entity_id = $2)
   AND ($3::text[] IS NULL OR lower(event_kind) = ANY ($3))
 ORDER BY place DESC, seq DESC LIMIT $4)
UNION ALL
(SELECT false, seq, seq, id, entity_type, entity_id, event_kind, occurred_at, data::text, old::text, changed::text,
        tenant_id, actor, traceparent, NULL
 FROM observer_events
 WHERE ($1::text IS NULL OR entity_type = $1) AND ($2::text IS NULL OR entity_id = $2)
   AND ($3::text[] IS NULL OR event_kind = ANY ($3))
 ORDER BY seq DESC LIMIT $4)
ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT $4";
    EVENTS_SINCE = "-- events_since
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data::text AS data, old::text AS old,
       changed::text AS changed, tenant_id, actor, traceparent
FROM observer_events
WHERE occurred_at >= $1 AND seq > $2
ORDER BY seq LIMIT $3";
    WAITING_SINCE = "-- waiting_since
SELECT place, seq, greatest(place, seq & 4611686018427387903) AS number, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent, problem
FROM observer_inbox
WHERE event_kind IS NOT NULL AND occurred_at >= $1 AND greatest(place, seq & 4611686018427387903) > $2
ORDER BY number LIMIT $3";
    SHOW_EVENT = "-- show_event
SELECT e.seq, e.id AS event_id, e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data::text AS data,
       e.old::text AS old, e.changed::text AS changed, e.tenant_id, e.actor, e.traceparent,
       EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.place = 0 AND coalesce(i.event_seq, i.seq) = e.seq) AS in_inbox
FROM observer_events AS e
WHERE e.id = $1
ORDER BY e.seq LIMIT 1";
    /// By its own id, or by the number in a captured one.
    SHOW_WAITING = "-- show_waiting
SELECT place, seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent, problem
FROM observer_inbox
WHERE event_kind IS NOT NULL AND (id = $1 OR id IS NULL AND occurred_at = $2
                                       AND CASE seq WHEN 0 THEN place ELSE seq END & 4398046511103 = $3)
LIMIT 1";
    ATTEMPTS_OF_EVENT = "-- attempts_of_event
SELECT delivery_id, observer, action, action_type, attempt, max_attempts, status, class, code, message, http_status,
       started_at, duration_us, plugin, plugin_digest
FROM tb_observer_log
WHERE event_id = $1
ORDER BY pk_log";
    COUNT_INBOX = "-- count_inbox
SELECT count(*) FROM observer_inbox";
}

#[async_trait]
impl Events for PostgresStore {
    async fn emit(&self, event: EntityEvent) -> Result<()> {
        let event = &event;
        self.inner.connections.write("emit", Sync::Now, |session| Box::pin(emit(session, event))).await
    }

    async fn list_events(&self, filter: EventFilter, found: Rows<EntityEvent>) -> Result<()> {
        let mut session = self.inner.connections.read().await?;
        let call = LIST_EVENTS
            .call()
            .bind(filter.entity_type)
            .bind(filter.entity_id)
            .bind(filter.event_kind.map(spellings))
            .bind_limit(filter.limit);
        // A row that intake has not put aside yet is passed over as well.
        let read = |record: &Record| {
            let is_waiting = record.get("is_waiting")?;
            let read = if is_waiting { event_row::read_change(record) } else { event_row::read(record) };
            read.map(Read::ok)
        };
        call.list(&mut session, &found, read).await
    }

    async fn events_since(
        &self,
        since: Timestamp,
        place: i64,
        limit: usize,
        found: Rows<EntityEvent>,
    ) -> Result<Option<i64>> {
        let mut moment = self.inner.connections.read_transaction().await?;
        let (mut left, mut last) = (limit, None);
        // Places in the inbox, which come last, are below zero.
        if place >= 0 {
            let taken = EVENTS_SINCE.call().bind_time(since).bind(place).bind_limit(limit);
            let read = |record: &Record| {
                (left, last) = (left - 1, Some(record.get("seq")?));
                event_row::read(record).map(Read::ok)
            };
            taken.list(&mut moment, &found, read).await?;
        }
        if left == 0 {
            return Ok(last);
        }
        let after = if place < 0 { -place } else { 0 };
        let waiting = WAITING_SINCE.call().bind_time(since).bind(after).bind_limit(left);
        let read = |record: &Record| {
            (left, last) = (left - 1, Some(-record.get::<i64>("number")?));
            event_row::read_change(record).map(Read::ok)
        };
        waiting.list(&mut moment, &found, read).await?;
        Ok(last.filter(|_| left == 0))
    }

    async fn event(&self, id: Uuid) -> Result<EventHistory> {
        let mut moment = self.inner.connections.read_transaction().await?;
        let is_no_event = |rejected: crate::intake_batch::Rejected| {
            StoreError::Refused(format!("the row {id} is no event: {}", rejected.reason))
        };
        let Some(record) = SHOW_EVENT.call().bind(id).optional(&mut moment).await? else {
            let (at, number, _) = captured_place(id).unwrap_or((Timestamp::from_micros(0), -1, 0));
            let waiting =
                SHOW_WAITING.call().bind(id).bind_time(at).bind(number).optional(&mut moment).await?;
            let Some(record) = waiting else {
                return Err(StoreError::NotFound { what: "event", name: id.to_string() });
            };
            let event = event_row::read_change(&record)?.map_err(is_no_event)?;
            return Ok(EventHistory::new(event, true, Vec::new(), Vec::new()));
        };
        let event = event_row::read(&record)?.map_err(is_no_event)?;
        let attempts = ATTEMPTS_OF_EVENT.call().bind(id).all(&mut moment).await?;
        let live = deliveries::of_event(&mut moment, record.get("seq")?).await?;
        let attempts = attempts.iter().map(AttemptRow::read).collect::<Result<_>>()?;
        Ok(EventHistory::new(event, record.get("in_inbox")?, live, attempts))
    }

    async fn inbox_len(&self) -> Result<u64> {
        let mut session = self.inner.connections.read().await?;
        let count: i64 = COUNT_INBOX.call().value(&mut session).await?;
        Ok(count.unsigned_abs())
    }
}

/// How a kind may be written in the inbox, where change logs leave it as it is.
fn spellings(kind: EventKind) -> Vec<&'static str> {
    let verb = match kind {
        EventKind::Created => "insert",
        EventKind::Updated => "update",
        EventKind::Deleted => "delete",
        EventKind::Custom => return vec!["custom"],
    };
    vec![kind.as_str(), verb]
}

async fn emit(session: &mut Session<'_>, event: &EntityEvent) -> Result<()> {
    locks::event_id(session, event.id).await?;
    if EVENT_EXISTS.call().bind(event.id).value(session).await? {
        return Err(StoreError::Exists { what: "event", name: event.id.to_string() });
    }
    EMIT_EVENT
        .call()
        .bind(event.id)
        .bind(&event.entity_type)
        .bind(&event.entity_id)
        .bind(event.event_kind.as_str())
        .bind_time(event.occurred_at)
        .bind(event.data.to_string())
        .bind(event.old.as_ref().map(ToString::to_string))
        .bind(serde_json::Value::from(event.changed.clone()).to_string())
        .bind(event.tenant_id.as_deref())
        .bind(event.actor.as_deref())
        .bind(event.traceparent.as_deref())
        .execute(session)
        .await?;
    Ok(())
}
