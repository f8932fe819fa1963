//! The dead letter queue.

use std::collections::HashSet;

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore,
    connection::Sync,
    event_row, locks,
    session::Session,
    statement::{Record, statements},
};
use crate::{DeadLetter, DeadLetters, HistoryEntry, Result, StoreError, readable::readable, row::Row as _};

/// Selects dead letters; only the end differs.
macro_rules! dead_letters {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "
SELECT id, event_id, entity_type, entity_id, event_kind, occurred_at, data::text AS data, old::text AS old,
       changed::text AS changed, tenant_id, actor, traceparent, observer, action, action_type,
       action_config::text AS action_config, attempts, max_attempts, class, code, last_error, http_status, died_at
FROM observer_dlq_items
",
            $rest
        )
    };
}

statements! {
    LIST_DEAD_LETTERS = dead_letters!("list_dead_letters", "ORDER BY died_at DESC, id LIMIT $1");
    SHOW_DEAD_LETTER = dead_letters!("show_dead_letter", "WHERE id = $1");
    /// Whoever wants one of these too waits here, and then does not find it.
    LOCK_DEAD_LETTERS = "-- lock_dead_letters
SELECT id, ordering_key FROM observer_dlq_items
WHERE $1::uuid[] IS NULL OR id = ANY($1)
ORDER BY event_seq, position, id
FOR UPDATE";
    /// Sequence numbers are never used again, so the event can have the one it had.
    RESTORE_EVENTS = "-- restore_events
INSERT INTO observer_events
    (seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
SELECT DISTINCT ON (event_seq) event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, old,
       changed, tenant_id, actor, traceparent
FROM observer_dlq_items
WHERE id = ANY($1)
ON CONFLICT DO NOTHING";
    /// A round has as many attempts as the last one had. One that is live again by other means is left alone.
    REPLAY_DELIVERIES = "-- replay_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, event_at, event_id, position, observer, action, action_type, state, paused, priority, attempts,
     attempts_before, max_attempts, ordering_key, last_error, event_bytes, created_at)
SELECT i.id, i.event_seq, i.occurred_at, i.event_id, i.position, i.observer, i.action, i.action_type, 'ready',
       EXISTS (SELECT 1 FROM tb_observer AS o WHERE o.name = i.observer AND NOT o.enabled),
       i.priority, i.attempts, i.attempts, i.attempts + greatest(i.max_attempts - i.attempts_before, 1),
       i.ordering_key, i.last_error, coalesce(octet_length(i.data::text), 0) + coalesce(octet_length(i.old::text), 0), $2
FROM observer_dlq_items AS i
WHERE i.id = ANY($1)
ON CONFLICT (id) DO NOTHING";
    REMOVE_DEAD_LETTERS = "-- remove_dead_letters
WITH removed AS (
    DELETE FROM observer_dlq_items WHERE id = ANY($1) RETURNING *
)
INSERT INTO observer_dlq_history (item_id, event_id, observer, action, what, attempts, last_error, at)
SELECT id, event_id, observer, action, $2, attempts, last_error, $3 FROM removed";
    LIST_HISTORY = "-- list_history
SELECT item_id, what, attempts, last_error, at FROM observer_dlq_history WHERE item_id = $1 ORDER BY pk_history";
}

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let mut session = self.inner.connections.read().await?;
        let records = LIST_DEAD_LETTERS.call().bind_limit(limit).all(&mut session).await?;
        Ok(readable("observer_dlq_items", &["id"], &records, dead_letter))
    }

    async fn dead_letter(&self, id: DeliveryId) -> Result<DeadLetter> {
        let mut session = self.inner.connections.read().await?;
        match SHOW_DEAD_LETTER.call().bind(id.0).optional(&mut session).await? {
            Some(record) => dead_letter(&record),
            None => Err(no_dead_letter(id.0)),
        }
    }

    async fn replay(&self, ids: Option<Vec<DeliveryId>>, now: Timestamp) -> Result<Vec<DeliveryId>> {
        let ids = ids.map(unique);
        let ids = ids.as_deref();
        self.inner.connections.write("replay", Sync::Now, |session| Box::pin(replay(session, ids, now))).await
    }

    async fn discard(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<usize> {
        let ids = unique(ids);
        let ids = &ids[..];
        self.inner
            .connections
            .write("discard", Sync::Now, |session| Box::pin(discard(session, ids, now)))
            .await
    }

    async fn history(&self, id: DeliveryId) -> Result<Vec<HistoryEntry>> {
        let mut session = self.inner.connections.read().await?;
        let records = LIST_HISTORY.call().bind(id.0).all(&mut session).await?;
        records.iter().map(HistoryEntry::read).collect()
    }
}

fn no_dead_letter(id: Uuid) -> StoreError {
    StoreError::NotFound { what: "dead letter", name: id.to_string() }
}

fn unique(ids: Vec<DeliveryId>) -> Vec<Uuid> {
    let mut seen = HashSet::new();
    ids.into_iter().map(|id| id.0).filter(|id| seen.insert(*id)).collect()
}

async fn replay(session: &mut Session<'_>, ids: Option<&[Uuid]>, now: Timestamp) -> Result<Vec<DeliveryId>> {
    locks::replays(session).await?;
    let (found, keys) = lock(session, ids).await?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    locks::intake(session, &keys).await?;
    RESTORE_EVENTS.call().bind(&found).execute(session).await?;
    REPLAY_DELIVERIES.call().bind(&found).bind_time(now).execute(session).await?;
    remove(session, &found, "replayed", now).await?;
    // In the order in which they were asked for.
    Ok(ids.map_or(found, <[Uuid]>::to_vec).into_iter().map(DeliveryId).collect())
}

async fn discard(session: &mut Session<'_>, ids: &[Uuid], now: Timestamp) -> Result<usize> {
    let (found, _) = lock(session, Some(ids)).await?;
    remove(session, &found, "discarded", now).await
}

/// The items, or all, with their ordering keys; an error for the first that is no item.
async fn lock(session: &mut Session<'_>, ids: Option<&[Uuid]>) -> Result<(Vec<Uuid>, Vec<String>)> {
    let records = LOCK_DEAD_LETTERS.call().bind(ids).all(session).await?;
    let found: Vec<Uuid> = records.iter().map(|record| record.get("id")).collect::<Result<_>>()?;
    let items: HashSet<&Uuid> = found.iter().collect();
    if let Some(missing) = ids.unwrap_or_default().iter().find(|id| !items.contains(id)) {
        return Err(no_dead_letter(*missing));
    }
    let keys: Vec<Option<String>> =
        records.iter().map(|record| record.get("ordering_key")).collect::<Result<_>>()?;
    Ok((found, keys.into_iter().flatten().collect()))
}

/// Removes items, with a line of history for each.
async fn remove(session: &mut Session<'_>, ids: &[Uuid], what: &str, now: Timestamp) -> Result<usize> {
    REMOVE_DEAD_LETTERS.call().bind(ids).bind(what).bind_time(now).execute(session).await
}

fn dead_letter(record: &Record) -> Result<DeadLetter> {
    let event = event_row::read(record)?
        .map_err(|rejected| record.unreadable("event of a dead letter", &rejected.reason))?;
    DeadLetter::read(record, event)
}
