//! Events as people see them.

use aftercommit_core::{EntityEvent, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use super::{SqliteStore, connection::Sync, deliveries, event_row, statement::statements};
use crate::{EventFilter, EventHistory, EventPage, Events, Result, StoreError, events::AttemptRow};

statements! {
    INSERT_EVENT = "-- insert_event
INSERT INTO observer_events
    (id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (id) DO NOTHING";
    /// Follows the insert of the event on the same connection.
    INSERT_INBOX = "-- insert_inbox
INSERT INTO observer_inbox (seq) VALUES (last_insert_rowid())";
    LIST_EVENTS = "-- list_events
SELECT id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_events
WHERE (?1 IS NULL OR entity_type = ?1) AND (?2 IS NULL OR entity_id = ?2) AND (?3 IS NULL OR event_kind = ?3)
  AND seq NOT IN (SELECT event_seq FROM observer_quarantine)
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
       EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.seq = e.seq) AS in_inbox
FROM observer_events AS e
WHERE e.id = ?1";
    ATTEMPTS_OF_EVENT = "-- attempts_of_event
SELECT delivery_id, observer, action, action_type, attempt, max_attempts, status, class, code, message, http_status,
       started_at, duration_us, plugin, plugin_digest
FROM tb_observer_log
WHERE event_id = ?1
ORDER BY pk_log";
    COUNT_INBOX = "-- count_inbox
SELECT count(*) FROM observer_inbox";
}

#[async_trait]
impl Events for SqliteStore {
    async fn emit(&self, event: EntityEvent) -> Result<()> {
        let changed = serde_json::Value::from(event.changed);
        self.inner
            .connections
            .write("emit", Sync::Now, move |write| {
                let made = INSERT_EVENT
                    .call()
                    .bind(event.id.to_string())
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
                    .execute(write)?;
                if made == 0 {
                    return Err(StoreError::Exists { what: "event", name: event.id.to_string() });
                }
                INSERT_INBOX.call().execute(write)?;
                Ok(())
            })
            .await
    }

    async fn events(&self, filter: EventFilter) -> Result<Vec<EntityEvent>> {
        self.inner
            .connections
            .read(move |connection| {
                let records = LIST_EVENTS
                    .call()
                    .bind(filter.entity_type)
                    .bind(filter.entity_id)
                    .bind(filter.event_kind.map(aftercommit_core::EventKind::as_str))
                    .bind_limit(filter.limit)
                    .all(connection)?;
                // A row that intake has not put aside yet is passed over as well.
                records.iter().filter_map(|record| event_row::read_lenient(record).transpose()).collect()
            })
            .await
    }

    async fn events_since(&self, since: Timestamp, place: i64, limit: usize) -> Result<EventPage> {
        self.inner
            .connections
            .read(move |connection| {
                let call = EVENTS_SINCE.call().bind_time(since).bind(place).bind_limit(limit);
                let records = call.all(connection)?;
                let events: Result<Vec<EntityEvent>> =
                    records.iter().filter_map(|record| event_row::read_lenient(record).transpose()).collect();
                let last = records.last().filter(|_| records.len() == limit);
                Ok(EventPage { events: events?, next: last.map(|record| record.get("seq")).transpose()? })
            })
            .await
    }

    async fn event(&self, id: Uuid) -> Result<EventHistory> {
        self.inner
            .connections
            .read_moment(move |moment| {
                let Some(record) = SHOW_EVENT.call().bind(id.to_string()).optional(moment)? else {
                    return Err(StoreError::NotFound { what: "event", name: id.to_string() });
                };
                let event = event_row::read(&record)?.map_err(|rejected| {
                    StoreError::Refused(format!("the row {id} is no event: {}", rejected.reason))
                })?;
                let attempts = ATTEMPTS_OF_EVENT.call().bind(id.to_string()).all(moment)?;
                Ok(EventHistory {
                    event,
                    in_inbox: record.get("in_inbox")?,
                    deliveries: deliveries::of_event(moment, record.get("seq")?)?,
                    attempts: attempts.iter().map(AttemptRow::read).collect::<Result<_>>()?,
                })
            })
            .await
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
