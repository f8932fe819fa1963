//! The dead letter queue.

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    event_row,
    statement::{Record, rows_as_json, statements},
};
use crate::{DeadLetter, DeadLetters, HistoryEntry, Result, StoreError, readable::readable, row::Row as _};

/// Selects dead letters; only the end differs.
macro_rules! dead_letters {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "
SELECT id, event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent, observer, action, action_type, action_config, attempts, max_attempts, class, code, last_error,
       http_status, died_at
FROM observer_dlq_items
",
            $rest
        )
    };
}

statements! {
    LIST_DEAD_LETTERS = dead_letters!("list_dead_letters", "ORDER BY died_at DESC, id LIMIT ?1");
    SHOW_DEAD_LETTER = dead_letters!("show_dead_letter", "WHERE id = ?1");
    DEAD_IDS = "-- dead_ids
SELECT id FROM observer_dlq_items ORDER BY event_seq, position, id";
    MISSING_IDS = "-- missing_ids
SELECT value AS id FROM json_each(?1) WHERE value NOT IN (SELECT id FROM observer_dlq_items) LIMIT 1";
    /// Sequence numbers are never used again, so the event can have the one it had.
    RESTORE_EVENTS = "-- restore_events
INSERT INTO observer_events
    (seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
SELECT event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_dlq_items
WHERE id IN (SELECT value FROM json_each(?1))
ON CONFLICT DO NOTHING";
    /// A round has as many attempts as the last one had. One that is live again by other means is left alone.
    REPLAY_DELIVERIES = "-- replay_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, position, observer, action, action_type, state, paused, priority, attempts, attempts_before,
     max_attempts, ordering_key, last_error, event_bytes, created_at)
SELECT i.id, i.event_seq, i.position, i.observer, i.action, i.action_type, 'ready',
       EXISTS (SELECT 1 FROM tb_observer AS o WHERE o.name = i.observer AND o.enabled = 0),
       i.priority, i.attempts, i.attempts, i.attempts + max(i.max_attempts - i.attempts_before, 1), i.ordering_key,
       i.last_error, coalesce(octet_length(i.data), 0) + coalesce(octet_length(i.old), 0), ?2
FROM observer_dlq_items AS i
WHERE i.id IN (SELECT value FROM json_each(?1))
ON CONFLICT (id) DO NOTHING";
    INSERT_HISTORY = "-- insert_history
INSERT INTO observer_dlq_history (item_id, event_id, observer, action, what, attempts, last_error, at)
SELECT id, event_id, observer, action, ?2, attempts, last_error, ?3
FROM observer_dlq_items
WHERE id IN (SELECT value FROM json_each(?1))";
    DELETE_DEAD_LETTERS = "-- delete_dead_letters
DELETE FROM observer_dlq_items WHERE id IN (SELECT value FROM json_each(?1))";
    LIST_HISTORY = "-- list_history
SELECT item_id, what, attempts, last_error, at FROM observer_dlq_history WHERE item_id = ?1 ORDER BY pk_history";
}

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        self.inner
            .connections
            .read(move |connection| {
                let records = LIST_DEAD_LETTERS.call().bind_limit(limit).all(connection)?;
                Ok(readable("observer_dlq_items", &["id"], &records, dead_letter))
            })
            .await
    }

    async fn dead_letter(&self, id: DeliveryId) -> Result<DeadLetter> {
        self.inner
            .connections
            .read(move |connection| {
                match SHOW_DEAD_LETTER.call().bind(id.to_string()).optional(connection)? {
                    Some(record) => dead_letter(&record),
                    None => Err(no_dead_letter(id.to_string())),
                }
            })
            .await
    }

    async fn replay(&self, ids: Option<Vec<DeliveryId>>, now: Timestamp) -> Result<Vec<DeliveryId>> {
        self.inner
            .connections
            .write("replay", Sync::Now, move |write| {
                let ids = match ids {
                    Some(ids) => unique(ids),
                    None => all_ids(write)?,
                };
                let list = existing(write, &ids)?;
                RESTORE_EVENTS.call().bind(&list).execute(write)?;
                REPLAY_DELIVERIES.call().bind(&list).bind_time(now).execute(write)?;
                remove(write, &list, "replayed", now)?;
                Ok(ids)
            })
            .await
    }

    async fn discard(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<usize> {
        self.inner
            .connections
            .write("discard", Sync::Now, move |write| {
                let list = existing(write, &unique(ids))?;
                let discarded = remove(write, &list, "discarded", now)?;
                Ok(discarded)
            })
            .await
    }

    async fn history(&self, id: DeliveryId) -> Result<Vec<HistoryEntry>> {
        self.inner
            .connections
            .read(move |connection| {
                let records = LIST_HISTORY.call().bind(id.to_string()).all(connection)?;
                records.iter().map(HistoryEntry::read).collect()
            })
            .await
    }
}

fn no_dead_letter(name: String) -> StoreError {
    StoreError::NotFound { what: "dead letter", name }
}

fn unique(mut ids: Vec<DeliveryId>) -> Vec<DeliveryId> {
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

fn all_ids(connection: &Connection) -> Result<Vec<DeliveryId>> {
    let records = DEAD_IDS.call().all(connection)?;
    records.iter().map(|record| Ok(DeliveryId(record.uuid("id")?))).collect()
}

/// The ids as a JSON list; an error for the first that is no item.
fn existing(connection: &Connection, ids: &[DeliveryId]) -> Result<String> {
    let list = rows_as_json(ids);
    match MISSING_IDS.call().bind(&list).optional(connection)? {
        Some(record) => Err(no_dead_letter(record.get("id")?)),
        None => Ok(list),
    }
}

/// Removes items, with a line of history for each.
fn remove(connection: &Connection, list: &str, what: &str, now: Timestamp) -> Result<usize> {
    INSERT_HISTORY.call().bind(list).bind(what).bind_time(now).execute(connection)?;
    DELETE_DEAD_LETTERS.call().bind(list).execute(connection)
}

fn dead_letter(record: &Record) -> Result<DeadLetter> {
    let event = event_row::read(record)?
        .map_err(|rejected| record.unreadable("event of a dead letter", &rejected.reason))?;
    DeadLetter::read(record, event)
}
