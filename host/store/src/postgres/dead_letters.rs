//! The dead letter queue.

use std::collections::HashSet;

use aftercommit_core::{DeliveryId, EventKind, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore,
    connection::Sync,
    event_row, locks,
    session::Session,
    statement::{Call, Record, int, statements},
    time::At,
    turns,
};
use crate::{
    DeadLetter, DeadLetterFilter, DeadLetterPlace, DeadLetters, EventOrder, HistoryEntry, Page, Result,
    StoreError,
    dead_letters::{MAX_IDS, page_of_ids},
    page,
    readable::readable,
    row::Row as _,
};

/// Selects dead letters; only the end differs.
macro_rules! dead_letters {
    ($name:literal, $rest:expr) => {
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

/// What a filter wants, as the first eight arguments. The `CASE` keeps the planner from multiplying what it guesses for each of them: it would
/// take the result for one row, and sort all instead of reading an index in order.
macro_rules! wanted {
    () => {
        "CASE WHEN ($1::text IS NULL OR observer = $1) AND ($2::text IS NULL OR $2 IN (action, action_type))
            AND ($3::text IS NULL OR class = $3) AND ($4::text IS NULL OR code = $4)
            AND ($5::text IS NULL OR entity_type = $5) AND ($6::text IS NULL OR event_kind = $6)
            AND ($7::timestamptz IS NULL OR died_at >= $7) AND ($8::timestamptz IS NULL OR died_at < $8)
       THEN true ELSE false END"
    };
}

/// Dead letters that are moved in one transaction: others wait for their locks.
const PIECE: usize = 200;

statements! {
    LIST_DEAD_LETTERS = dead_letters!("list_dead_letters", concat!("WHERE ", wanted!(), "
  AND died_at <= $9 AND (died_at < $9 OR id > $10)
ORDER BY died_at DESC, id LIMIT $11"));
    COUNT_DEAD_LETTERS = concat!("-- count_dead_letters
SELECT count(*) FROM observer_dlq_items WHERE ", wanted!());
    SHOW_DEAD_LETTER = dead_letters!("show_dead_letter", "WHERE id = $1");
    DEAD_IDS = concat!("-- dead_ids
SELECT event_seq, position, id FROM observer_dlq_items
WHERE ", wanted!(), " AND (event_seq, position, id) > ($9, $10, $11)
ORDER BY event_seq, position, id LIMIT $12");
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
    (id, event_seq, event_at, event_id, position, observer, action, action_type, state, priority, attempts,
     attempts_before, max_attempts, blocked, last_error, event_bytes, created_at)
SELECT i.id, i.event_seq, i.occurred_at, i.event_id, i.position, i.observer, i.action, i.action_type, 'ready',
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
    REMOVE_DEAD_LETTERS = "-- remove_dead_letters
WITH removed AS (
    DELETE FROM observer_dlq_items WHERE id = ANY($1) RETURNING *
)
INSERT INTO observer_dlq_history (item_id, event_id, observer, action, what, attempts, last_error, at)
SELECT id, event_id, observer, action, $2, attempts, last_error, $3 FROM removed";
    LIST_HISTORY = "-- list_history
SELECT item_id, what, attempts, last_error, at
FROM (SELECT * FROM observer_dlq_history WHERE item_id = $1 ORDER BY pk_history DESC LIMIT 1000) AS h
ORDER BY pk_history";
}

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn dead_letters_page(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<Page<DeadLetter, DeadLetterPlace>> {
        // In microseconds: every time that a column holds can be written so.
        let (died_at, id) = match &after {
            Some(place) => (place.died_at.parse().unwrap_or(i64::MIN), place.id.parse().unwrap_or_default()),
            None => (i64::MAX, Uuid::nil()),
        };
        let died_at = Timestamp::from_micros(died_at);
        let mut session = self.inner.connections.read().await?;
        let call = filtered(LIST_DEAD_LETTERS.call(), filter).bind_time(died_at).bind(id);
        let found = call.page(&mut session, page::rows(limit)).await?;
        let place = |last: &Record| {
            let died_at = last.time("died_at")?.as_micros().to_string();
            Ok(DeadLetterPlace { died_at, id: last.uuid("id")?.to_string() })
        };
        let next = found.cut_at().map(place).transpose()?;
        Ok(Page::new(readable("observer_dlq_items", &["id"], &found.records, dead_letter), next))
    }

    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64> {
        let mut session = self.inner.connections.read().await?;
        let count: i64 = filtered(COUNT_DEAD_LETTERS.call(), filter).value(&mut session).await?;
        Ok(count.unsigned_abs())
    }

    async fn dead_letter_ids(
        &self,
        filter: &DeadLetterFilter,
        after: Option<EventOrder>,
    ) -> Result<Page<DeliveryId, EventOrder>> {
        let EventOrder { event_seq, position, id } = after.unwrap_or(EventOrder::START);
        let mut session = self.inner.connections.read().await?;
        let call = filtered(DEAD_IDS.call(), filter).bind(event_seq).bind(int(position)).bind(id.0);
        let records = call.bind_limit(MAX_IDS).all(&mut session).await?;
        page_of_ids(&records)
    }

    async fn dead_letter(&self, id: DeliveryId) -> Result<DeadLetter> {
        let mut session = self.inner.connections.read().await?;
        match SHOW_DEAD_LETTER.call().bind(id.0).optional(&mut session).await? {
            Some(record) => dead_letter(&record),
            None => Err(no_dead_letter(id.0)),
        }
    }

    async fn require_dead_letters(&self, ids: &[DeliveryId]) -> Result<()> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let there: HashSet<Uuid> = self.dead_ids(&ids).await?.into_iter().collect();
        ids.into_iter().find(|id| !there.contains(id)).map_or(Ok(()), |id| Err(no_dead_letter(id)))
    }

    async fn replay(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<Vec<DeliveryId>> {
        let ids = unique(ids);
        let mut replayed = HashSet::new();
        for piece in self.dead_ids(&ids).await?.chunks(PIECE) {
            let connections = &self.inner.connections;
            let write =
                connections.write("replay", Sync::Now, |session| Box::pin(replay(session, piece, now)));
            replayed.extend(write.await?);
        }
        Ok(ids.into_iter().filter(|id| replayed.contains(id)).map(DeliveryId).collect())
    }

    async fn discard(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<usize> {
        let mut discarded = 0;
        for piece in self.dead_ids(&unique(ids)).await?.chunks(PIECE) {
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
    /// Those of these that are items, in the order of their events.
    async fn dead_ids(&self, ids: &[Uuid]) -> Result<Vec<Uuid>> {
        let mut session = self.inner.connections.read().await?;
        let records = THESE_IDS.call().bind(ids).all(&mut session).await?;
        records.iter().map(|record| record.get("id")).collect()
    }
}

/// Binds what a filter wants.
fn filtered(call: Call, filter: &DeadLetterFilter) -> Call {
    call.bind(filter.observer.as_deref())
        .bind(filter.action.as_deref())
        .bind(filter.class.as_deref())
        .bind(filter.code.as_deref())
        .bind(filter.entity_type.as_deref())
        .bind(filter.event_kind.map(EventKind::as_str))
        .bind(filter.since.map(At))
        .bind(filter.until.map(At))
}

/// Makes those of these live again that are still there.
async fn replay(session: &mut Session<'_>, ids: &[Uuid], now: Timestamp) -> Result<Vec<Uuid>> {
    locks::replays(session).await?;
    let (found, keys) = lock(session, ids).await?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    if !keys.is_empty() {
        locks::keys(session, &keys).await?;
    }
    RESTORE_EVENTS.call().bind(&found).execute(session).await?;
    let made = REPLAY_DELIVERIES.call().bind(&found).bind_time(now).all(session).await?;
    if !keys.is_empty() {
        let made: Vec<Uuid> = made.iter().map(|record| record.get("id")).collect::<Result<_>>()?;
        ORDER_DELIVERIES.call().bind(&made).execute(session).await?;
        turns::give(session, &keys).await?;
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
