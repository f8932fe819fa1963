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
use crate::{
    DeadLetter, DeadLetters, HistoryEntry, Result, Rows, StoreError, readable::if_readable, row::Row as _,
};

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

/// Dead letters that are moved in one transaction: others wait for their locks.
const PIECE: usize = 200;

statements! {
    LIST_DEAD_LETTERS = dead_letters!("list_dead_letters", "ORDER BY died_at DESC, id LIMIT $1");
    SHOW_DEAD_LETTER = dead_letters!("show_dead_letter", "WHERE id = $1");
    ALL_IDS = "-- all_dead_ids
SELECT id FROM observer_dlq_items ORDER BY event_seq, position, id";
    THESE_IDS = "-- these_dead_ids
SELECT id FROM observer_dlq_items WHERE id = ANY($1) ORDER BY event_seq, position, id";
    /// Whoever wants one of these too waits here, and then does not find it.
    LOCK_DEAD_LETTERS = "-- lock_dead_letters
SELECT id, ordering_key FROM observer_dlq_items
WHERE id = ANY($1)
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
     attempts_before, max_attempts, blocked, last_error, event_bytes, created_at)
SELECT i.id, i.event_seq, i.occurred_at, i.event_id, i.position, i.observer, i.action, i.action_type, 'ready',
       EXISTS (SELECT 1 FROM tb_observer AS o WHERE o.name = i.observer AND NOT o.enabled),
       i.priority, i.attempts, i.attempts, i.attempts + greatest(i.max_attempts - i.attempts_before, 1),
       i.ordering_key IS NOT NULL, i.last_error,
       coalesce(octet_length(i.data::text), 0) + coalesce(octet_length(i.old::text), 0), $2
FROM observer_dlq_items AS i
WHERE i.id = ANY($1)
ON CONFLICT (id) DO NOTHING
RETURNING id";
    /// The keys come after the rows: the trigger that finds a place for each new row among those of its key would read all
    /// that come behind it.
    ORDER_DELIVERIES = "-- order_deliveries
UPDATE observer_deliveries AS d SET ordering_key = i.ordering_key
FROM observer_dlq_items AS i
WHERE d.id = ANY($1) AND i.id = d.id AND i.ordering_key IS NOT NULL";
    /// Waits for whoever is claiming one of them: if that one then runs, it keeps the turn.
    TAKE_TURNS_BACK = "-- take_turns_back
UPDATE observer_deliveries SET blocked = true
WHERE ordering_key = ANY($1) AND NOT blocked AND state <> 'running'";
    GIVE_TURNS = "-- give_turns
UPDATE observer_deliveries SET blocked = false
WHERE id IN (SELECT (SELECT first.id FROM observer_deliveries AS first
                     WHERE first.ordering_key = k.ordering_key
                     ORDER BY first.event_seq, first.position, first.id LIMIT 1)
             FROM (SELECT DISTINCT unnest($1::text[])) AS k (ordering_key)
             WHERE NOT EXISTS (SELECT 1 FROM observer_deliveries AS turn
                               WHERE turn.ordering_key = k.ordering_key AND NOT turn.blocked))";
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
    async fn list_dead_letters(&self, limit: usize, found: Rows<DeadLetter>) -> Result<()> {
        let mut session = self.inner.connections.read().await?;
        let read = |record: &Record| Ok(if_readable("observer_dlq_items", &["id"], record, dead_letter));
        LIST_DEAD_LETTERS.call().bind_limit(limit).list(&mut session, &found, read).await
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
        let mut replayed = Vec::new();
        for piece in self.dead_ids(ids.as_deref()).await?.chunks(PIECE) {
            let connections = &self.inner.connections;
            let write =
                connections.write("replay", Sync::Now, |session| Box::pin(replay(session, piece, now)));
            replayed.extend(write.await?);
        }
        if let Some(ids) = ids {
            // In the order in which they were asked for.
            let there: HashSet<Uuid> = replayed.into_iter().collect();
            replayed = ids.into_iter().filter(|id| there.contains(id)).collect();
        }
        Ok(replayed.into_iter().map(DeliveryId).collect())
    }

    async fn discard(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<usize> {
        let mut discarded = 0;
        for piece in self.dead_ids(Some(&unique(ids))).await?.chunks(PIECE) {
            let connections = &self.inner.connections;
            let write =
                connections.write("discard", Sync::Now, |session| Box::pin(discard(session, piece, now)));
            discarded += write.await?;
        }
        Ok(discarded)
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

impl PostgresStore {
    /// The items, or all, in the order of their events; an error for the first that is no item.
    async fn dead_ids(&self, ids: Option<&[Uuid]>) -> Result<Vec<Uuid>> {
        let mut session = self.inner.connections.read().await?;
        let records = match ids {
            Some(ids) => THESE_IDS.call().bind(ids).all(&mut session).await?,
            None => ALL_IDS.call().all(&mut session).await?,
        };
        let found = records.iter().map(|record| record.get("id")).collect::<Result<Vec<Uuid>>>()?;
        let items: HashSet<&Uuid> = found.iter().collect();
        match ids.unwrap_or_default().iter().find(|id| !items.contains(id)) {
            Some(missing) => Err(no_dead_letter(*missing)),
            None => Ok(found),
        }
    }
}

/// Makes those of these live again that are still there.
async fn replay(session: &mut Session<'_>, ids: &[Uuid], now: Timestamp) -> Result<Vec<Uuid>> {
    locks::replays(session).await?;
    let (found, keys) = lock(session, ids).await?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    locks::intake(session, &keys).await?;
    RESTORE_EVENTS.call().bind(&found).execute(session).await?;
    let made = REPLAY_DELIVERIES.call().bind(&found).bind_time(now).all(session).await?;
    if !keys.is_empty() {
        let made: Vec<Uuid> = made.iter().map(|record| record.get("id")).collect::<Result<_>>()?;
        ORDER_DELIVERIES.call().bind(&made).execute(session).await?;
        TAKE_TURNS_BACK.call().bind(&keys).execute(session).await?;
        GIVE_TURNS.call().bind(&keys).execute(session).await?;
    }
    remove(session, &found, "replayed", now).await?;
    Ok(found)
}

async fn discard(session: &mut Session<'_>, ids: &[Uuid], now: Timestamp) -> Result<usize> {
    let (found, _) = lock(session, ids).await?;
    remove(session, &found, "discarded", now).await
}

/// Those of these items that are still there, with their ordering keys.
async fn lock(session: &mut Session<'_>, ids: &[Uuid]) -> Result<(Vec<Uuid>, Vec<String>)> {
    let records = LOCK_DEAD_LETTERS.call().bind(ids).all(session).await?;
    let found: Vec<Uuid> = records.iter().map(|record| record.get("id")).collect::<Result<_>>()?;
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
