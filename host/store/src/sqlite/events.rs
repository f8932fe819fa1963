//! Events as people see them.

use aftercommit_core::{EntityEvent, EventKind, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;
use uuid::Uuid;

use super::{
    SqliteStore,
    connection::Sync,
    deliveries, event_row, inbox_row,
    statement::{Statement, statements},
};
use crate::{EventFilter, EventHistory, Events, Result, Rows, StoreError, events::AttemptRow};

statements! {
    EMIT_EVENT = "-- emit_event
INSERT INTO observer_inbox
    (seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
SELECT n.seq, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
FROM observer_next AS n
WHERE NOT EXISTS (SELECT 1 FROM observer_events WHERE id = ?1)
  AND NOT EXISTS (SELECT 1 FROM observer_inbox WHERE seq = ?12 AND id IS NULL AND event_seq IS NULL)
ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING";
    /// An update of the key is two events.
    LIST_WAITING = "-- list_waiting
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, old_id, changed, tenant_id, actor,
       traceparent
FROM observer_inbox
WHERE pending IS NULL AND event_seq IS NULL
  AND (?1 IS NULL OR entity_type = ?1) AND (?2 IS NULL OR ?2 IN (entity_id, old_id))
  AND (?3 IS NULL OR iif(id IS NULL AND event_kind = 'updated' AND old_id IS NOT entity_id,
                         ?3 IN ('deleted', 'created'), event_kind = ?3))
ORDER BY seq DESC LIMIT ?4";
    WAITING_SINCE = "-- waiting_since
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, old_id, changed, tenant_id, actor,
       traceparent
FROM observer_inbox
WHERE pending IS NULL AND event_seq IS NULL AND seq > ?1 AND iif(id IS NULL, seq >= ?2, occurred_at >= ?3)
ORDER BY seq LIMIT ?4";
    SHOW_WAITING = "-- show_waiting
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, old_id, changed, tenant_id, actor,
       traceparent
FROM observer_inbox
WHERE seq = coalesce((SELECT seq FROM observer_inbox WHERE id = ?1), ?2) AND pending IS NULL AND event_seq IS NULL";
    LIST_EVENTS = "-- list_events
SELECT id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_events AS e
WHERE (?1 IS NULL OR entity_type = ?1) AND (?2 IS NULL OR entity_id = ?2) AND (?3 IS NULL OR event_kind = ?3)
  AND NOT EXISTS (SELECT 1 FROM observer_quarantine AS q WHERE q.event_seq = e.seq)
ORDER BY seq DESC LIMIT ?4";
    EVENTS_SINCE = "-- events_since
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_events
WHERE occurred_at >= ?1 AND seq > ?2
ORDER BY seq LIMIT ?3";
    SHOW_EVENT = "-- show_event
SELECT e.seq, e.id AS event_id, e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data, e.old, e.changed,
       e.tenant_id, e.actor, e.traceparent,
       EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.event_seq = e.seq) AS in_inbox
FROM observer_events AS e
WHERE e.id = ?1";
    ATTEMPTS_OF_EVENT = "-- attempts_of_event
SELECT delivery_id, observer, action, action_type, attempt, max_attempts, status, class, code, message, http_status,
       started_at, duration_us, plugin, plugin_digest
FROM tb_observer_log
WHERE event_id = ?1
ORDER BY pk_log";
    COUNT_INBOX = "-- count_inbox
SELECT count(*) FROM observer_inbox WHERE pending IS NULL";
}

#[async_trait]
impl Events for SqliteStore {
    async fn emit(&self, event: EntityEvent) -> Result<()> {
        let changed = serde_json::Value::from(event.changed);
        let (name, place) = (event.id.to_string(), inbox_row::place_of(event.id).map(|(seq, _)| seq));
        // Before the lock is taken: an image may be large.
        let call = EMIT_EVENT
            .call()
            .bind(&name)
            .bind(event.entity_type)
            .bind(event.entity_id)
            .bind(event.event_kind.as_str())
            .bind_time(event.occurred_at)
            .bind(event.data.to_string())
            .bind(event.old.map(|old| old.to_string()))
            .bind(changed.to_string())
            .bind(event.tenant_id)
            .bind(event.actor)
            .bind(event.traceparent)
            .bind(place);
        match self.inner.connections.write("emit", Sync::Now, move |write| call.execute(write)).await? {
            0 => Err(StoreError::Exists { what: "event", name }),
            _ => Ok(()),
        }
    }

    async fn list_events(&self, filter: EventFilter, found: Rows<EntityEvent>) -> Result<()> {
        self.inner.connections.read_moment(move |moment| list(moment, &filter, &found)).await
    }

    async fn events_since(
        &self,
        since: Timestamp,
        place: i64,
        limit: usize,
        found: Rows<EntityEvent>,
    ) -> Result<Option<i64>> {
        self.inner.connections.read_moment(move |moment| page(moment, since, place, limit, &found)).await
    }

    async fn event(&self, id: Uuid) -> Result<EventHistory> {
        self.inner.connections.read_moment(move |moment| show(moment, id)).await
    }

    async fn inbox_len(&self) -> Result<u64> {
        self.inner
            .connections
            .read(move |connection| {
                let count: i64 = COUNT_INBOX.call().value(connection)?;
                Ok(count.unsigned_abs())
            })
            .await
    }
}

/// The newest first: what waits in the inbox, then what was taken from it.
fn list(moment: &Connection, filter: &EventFilter, found: &Rows<EntityEvent>) -> Result<()> {
    let call = |statement: Statement, limit: usize| {
        statement
            .call()
            .bind(filter.entity_type.as_deref())
            .bind(filter.entity_id.as_deref())
            .bind(filter.event_kind.map(EventKind::as_str))
            .bind_limit(limit)
    };
    let is_wanted = |event: &EntityEvent| {
        filter.event_kind.is_none_or(|kind| kind == event.event_kind)
            && filter.entity_id.as_ref().is_none_or(|id| *id == event.entity_id)
    };
    let mut left = filter.limit;
    call(LIST_WAITING, filter.limit).each(moment, |record| {
        // A row that intake has not put aside yet is passed over as well.
        let waiting = inbox_row::events(&record)?.into_iter().rev();
        for event in waiting.filter_map(|waiting| waiting.event.ok()).filter(is_wanted).take(left) {
            left = if found.blocking_send(event).is_ok() { left - 1 } else { 0 };
        }
        Ok(left > 0)
    })?;
    call(LIST_EVENTS, left).list(moment, found, event_row::read_lenient)
}

/// Events that were taken have the lower places, since numbers of the inbox are microseconds.
fn page(
    moment: &Connection,
    since: Timestamp,
    place: i64,
    limit: usize,
    found: &Rows<EntityEvent>,
) -> Result<Option<i64>> {
    let (mut left, mut last) = (limit, None);
    let taken = EVENTS_SINCE.call().bind_time(since).bind(place).bind_limit(limit);
    taken.list(moment, found, |record| {
        (left, last) = (left - 1, Some(record.get("seq")?));
        event_row::read_lenient(record)
    })?;
    if left == 0 {
        return Ok(last);
    }
    let waiting = WAITING_SINCE.call().bind(place).bind(since.as_micros()).bind_time(since).bind_limit(left);
    waiting.each(moment, |record| {
        (left, last) = (left - 1, Some(record.get("seq")?));
        let mut events = inbox_row::events(&record)?.into_iter().filter_map(|waiting| waiting.event.ok());
        Ok(events.all(|event| found.blocking_send(event).is_ok()))
    })?;
    Ok(last.filter(|_| left == 0))
}

fn show(moment: &Connection, id: Uuid) -> Result<EventHistory> {
    let no_event = |reason: &str| StoreError::Refused(format!("the row {id} is no event: {reason}"));
    let (event, in_inbox, deliveries) =
        if let Some(record) = SHOW_EVENT.call().bind(id.to_string()).optional(moment)? {
            let event = event_row::read(&record)?.map_err(|rejected| no_event(&rejected.reason))?;
            (event, record.get("in_inbox")?, deliveries::of_event(moment, record.get("seq")?)?)
        } else {
            let place = inbox_row::place_of(id).map(|(seq, _)| seq);
            let record = SHOW_WAITING.call().bind(id.to_string()).bind(place).optional(moment)?;
            let waiting = record.as_ref().map(inbox_row::events).transpose()?.unwrap_or_default();
            let written = id.to_string();
            let found =
                waiting.into_iter().find(|waiting| waiting.columns.id.as_deref() == Some(written.as_bytes()));
            let Some(found) = found else {
                return Err(StoreError::NotFound { what: "event", name: id.to_string() });
            };
            (found.event.map_err(|rejected| no_event(&rejected.reason))?, true, Vec::new())
        };
    let attempts = ATTEMPTS_OF_EVENT.call().bind(id.to_string()).all(moment)?;
    let attempts = attempts.iter().map(AttemptRow::read).collect::<Result<_>>()?;
    Ok(EventHistory::new(event, in_inbox, deliveries, attempts))
}
