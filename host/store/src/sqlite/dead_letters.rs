//! The dead letter queue.

use std::collections::HashSet;

use aftercommit_core::{DeliveryId, EventKind, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    event_row, piece,
    statement::{Call, Record, Statement, rows_as_json, statements},
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
SELECT id, event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent, observer, action, action_type, action_config, attempts, max_attempts, class, code, last_error,
       http_status, died_at
FROM observer_dlq_items
",
            $rest
        )
    };
}

/// What a filter wants, as the first eight arguments.
macro_rules! wanted {
    () => {
        "(?1 IS NULL OR observer = ?1) AND (?2 IS NULL OR ?2 IN (action, action_type)) AND (?3 IS NULL OR class = ?3)
  AND (?4 IS NULL OR code = ?4) AND (?5 IS NULL OR entity_type = ?5) AND (?6 IS NULL OR event_kind = ?6)
  AND (?7 IS NULL OR died_at >= ?7) AND (?8 IS NULL OR died_at < ?8)"
    };
}

statements! {
    LIST_DEAD_LETTERS = dead_letters!("list_dead_letters", concat!("WHERE ", wanted!(), "
  AND died_at <= ?9 AND (died_at < ?9 OR id > ?10)
ORDER BY died_at DESC, id LIMIT ?11"));
    COUNT_DEAD_LETTERS = concat!("-- count_dead_letters
SELECT count(*) FROM observer_dlq_items WHERE ", wanted!());
    SHOW_DEAD_LETTER = dead_letters!("show_dead_letter", "WHERE id = ?1");
    DEAD_IDS = concat!("-- dead_ids
SELECT event_seq, position, id FROM observer_dlq_items
WHERE ", wanted!(), " AND (event_seq, position, id) > (?9, ?10, ?11)
ORDER BY event_seq, position, id LIMIT ?12");
    THESE_IDS = "-- these_dead_ids
SELECT id, coalesce(octet_length(data), 0) + coalesce(octet_length(old), 0) AS bytes
FROM observer_dlq_items WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY event_seq, position, id";
    /// Sequence numbers are never used again, so the event can have the one it had.
    RESTORE_EVENTS = "-- restore_events
INSERT INTO observer_events
    (seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
SELECT event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_dlq_items AS i
WHERE id IN (SELECT value FROM json_each(?1)) AND NOT EXISTS (SELECT 1 FROM observer_events AS e WHERE e.seq = i.event_seq)
ON CONFLICT DO NOTHING";
    /// A round has as many attempts as the last one had. One that is live again by other means is left alone.
    REPLAY_DELIVERIES = "-- replay_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, position, observer, action, action_type, state, priority, attempts, attempts_before,
     max_attempts, blocked, last_error, event_bytes, created_at)
SELECT i.id, i.event_seq, i.position, i.observer, i.action, i.action_type, 'ready',
       i.priority, i.attempts, i.attempts, i.attempts + max(i.max_attempts - i.attempts_before, 1),
       i.ordering_key IS NOT NULL, i.last_error, coalesce(octet_length(i.data), 0) + coalesce(octet_length(i.old), 0), ?2
FROM observer_dlq_items AS i
WHERE i.id IN (SELECT value FROM json_each(?1))
ON CONFLICT (id) DO NOTHING
RETURNING id";
    /// The keys come after the rows: the trigger that finds a place for each new row among those of its key would read all
    /// that come behind it.
    ORDER_DELIVERIES = "-- order_deliveries
UPDATE observer_deliveries
SET ordering_key = (SELECT i.ordering_key FROM observer_dlq_items AS i WHERE i.id = observer_deliveries.id)
WHERE id IN (SELECT value FROM json_each(?1))";
    ORDERING_KEYS = "-- replayed_keys
SELECT DISTINCT ordering_key FROM observer_dlq_items
WHERE id IN (SELECT value FROM json_each(?1)) AND ordering_key IS NOT NULL";
    TAKE_TURN_BACK = "-- take_turn_back
UPDATE observer_deliveries INDEXED BY observer_deliveries_unblocked SET blocked = 1
WHERE ordering_key = ?1 AND blocked = 0 AND state <> 'running'";
    GIVE_TURN = "-- give_turn
UPDATE observer_deliveries SET blocked = 0
WHERE id = (SELECT id FROM observer_deliveries WHERE ordering_key = ?1 ORDER BY event_seq, position, id LIMIT 1)
  AND NOT EXISTS (SELECT 1 FROM observer_deliveries WHERE ordering_key = ?1 AND blocked = 0)";
    INSERT_HISTORY = "-- insert_history
INSERT INTO observer_dlq_history (item_id, event_id, observer, action, what, attempts, last_error, at)
SELECT id, event_id, observer, action, ?2, attempts, last_error, ?3
FROM observer_dlq_items
WHERE id IN (SELECT value FROM json_each(?1))";
    DELETE_DEAD_LETTERS = "-- delete_dead_letters
DELETE FROM observer_dlq_items WHERE id IN (SELECT value FROM json_each(?1)) RETURNING id";
    LIST_HISTORY = "-- list_history
SELECT item_id, what, attempts, last_error, at
FROM (SELECT * FROM observer_dlq_history WHERE item_id = ?1 ORDER BY pk_history DESC LIMIT 1000) AS h
ORDER BY pk_history";
}

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn dead_letters_page(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<Page<DeadLetter, DeadLetterPlace>> {
        let call = filtered(LIST_DEAD_LETTERS, filter);
        let call = match after {
            Some(DeadLetterPlace { died_at, id }) => call.bind(died_at).bind(id),
            // A blob comes after all texts.
            None => call.bind([u8::MAX].as_slice()).bind(""),
        };
        self.inner
            .connections
            .read(move |connection| {
                let found = call.page(connection, page::rows(limit))?;
                let place = |last: &Record| {
                    Ok(DeadLetterPlace { died_at: last.string("died_at")?, id: last.string("id")? })
                };
                let next = found.cut_at().map(place).transpose()?;
                Ok(Page::new(readable("observer_dlq_items", &["id"], &found.records, dead_letter), next))
            })
            .await
    }

    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64> {
        let call = filtered(COUNT_DEAD_LETTERS, filter);
        let count = self.inner.connections.read(move |connection| call.value::<i64>(connection)).await?;
        Ok(count.unsigned_abs())
    }

    async fn dead_letter_ids(
        &self,
        filter: &DeadLetterFilter,
        after: Option<EventOrder>,
    ) -> Result<Page<DeliveryId, EventOrder>> {
        let EventOrder { event_seq, position, id } = after.unwrap_or(EventOrder::START);
        let call = filtered(DEAD_IDS, filter).bind(event_seq).bind(position).bind(id.to_string());
        let call = call.bind_limit(MAX_IDS);
        self.inner.connections.read(move |connection| page_of_ids(&call.all(connection)?)).await
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

    async fn require_dead_letters(&self, ids: &[DeliveryId]) -> Result<()> {
        let wanted = ids.to_vec();
        let found = self.inner.connections.read(move |connection| find(connection, &wanted)).await?;
        let there: HashSet<DeliveryId> = found.into_iter().map(|(id, _)| id).collect();
        let missing = ids.iter().find(|id| !there.contains(id));
        missing.map_or(Ok(()), |id| Err(no_dead_letter(id.to_string())))
    }

    async fn replay(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<Vec<DeliveryId>> {
        let replay = move |write: &Connection, list: &str| replay(write, list, now);
        let replayed: HashSet<_> = self.in_pieces("replay", ids.clone(), replay).await?.into_iter().collect();
        Ok(unique(ids).into_iter().filter(|id| replayed.contains(id)).collect())
    }

    async fn discard(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<usize> {
        let discard = move |write: &Connection, list: &str| remove(write, list, "discarded", now);
        Ok(self.in_pieces("discard", ids, discard).await?.len())
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
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

impl SqliteStore {
    /// Does something to dead letters, some in each transaction. Returns those to which it was done: somebody else may have taken others
    /// away.
    async fn in_pieces(
        &self,
        name: &'static str,
        ids: Vec<DeliveryId>,
        work: impl Fn(&Connection, &str) -> Result<Vec<DeliveryId>> + Copy + Send + 'static,
    ) -> Result<Vec<DeliveryId>> {
        let connections = &self.inner.connections;
        let found = connections.read(move |connection| find(connection, &ids)).await?;
        let (ids, weights): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let mut done = Vec::with_capacity(ids.len());
        for piece in piece::pieces(&weights) {
            let list = rows_as_json(&ids[piece]);
            done.extend(connections.write_piece(name, Sync::Now, move |write| work(write, &list)).await?);
        }
        Ok(done)
    }
}

/// Those of these that are items, in the order of their events, with their weights.
fn find(connection: &Connection, ids: &[DeliveryId]) -> Result<Vec<(DeliveryId, usize)>> {
    let records = THESE_IDS.call().bind(rows_as_json(ids)).all(connection)?;
    let found = records.iter().map(|record| {
        let bytes = usize::try_from(record.integer("bytes")?).unwrap_or(0);
        Ok((DeliveryId(record.uuid("id")?), piece::weight(bytes)))
    });
    found.collect()
}

/// A call with what a filter wants, as its first eight arguments.
fn filtered(statement: Statement, filter: &DeadLetterFilter) -> Call {
    statement
        .call()
        .bind(filter.observer.as_deref())
        .bind(filter.action.as_deref())
        .bind(filter.class.as_deref())
        .bind(filter.code.as_deref())
        .bind(filter.entity_type.as_deref())
        .bind(filter.event_kind.map(EventKind::as_str))
        .bind(filter.since.map(|at| at.to_string()))
        .bind(filter.until.map(|at| at.to_string()))
}

/// Makes these live again.
fn replay(write: &Connection, list: &str, now: Timestamp) -> Result<Vec<DeliveryId>> {
    RESTORE_EVENTS.call().bind(list).execute(write)?;
    let made = ids(&REPLAY_DELIVERIES.call().bind(list).bind_time(now).all(write)?)?;
    ORDER_DELIVERIES.call().bind(rows_as_json(&made)).execute(write)?;
    for record in ORDERING_KEYS.call().bind(rows_as_json(&made)).all(write)? {
        let key: &str = record.get("ordering_key")?;
        TAKE_TURN_BACK.call().bind(key).execute(write)?;
        GIVE_TURN.call().bind(key).execute(write)?;
    }
    remove(write, list, "replayed", now)
}

/// Removes items, with a line of history for each.
fn remove(write: &Connection, list: &str, what: &str, now: Timestamp) -> Result<Vec<DeliveryId>> {
    INSERT_HISTORY.call().bind(list).bind(what).bind_time(now).execute(write)?;
    ids(&DELETE_DEAD_LETTERS.call().bind(list).all(write)?)
}

fn ids(records: &[Record]) -> Result<Vec<DeliveryId>> {
    records.iter().map(|record| Ok(DeliveryId(record.uuid("id")?))).collect()
}

fn dead_letter(record: &Record) -> Result<DeadLetter> {
    let event = event_row::read(record)?
        .map_err(|rejected| record.unreadable("event of a dead letter", &rejected.reason))?;
    DeadLetter::read(record, event)
}

#[cfg(test)]
mod tests {
    use super::{super::steps, *};
    use crate::{Schema as _, SqliteOptions};

    /// The steps of a piece that makes dead letters of one key live again, before so many others of it that live.
    async fn steps_of(live: usize) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/test.db", folder.path().display());
        let options = SqliteOptions { create: true, ..SqliteOptions::default() };
        let store = SqliteStore::open(&url, options).await.unwrap();
        store.migrate().await.unwrap();
        let fill = format!(
            "INSERT INTO observer_deliveries
                 (id, event_seq, position, observer, action, action_type, state, blocked, priority, attempts,
                  max_attempts, created_at)
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {live})
             SELECT printf('live-%06d', n), 1000 + n, 0, 'o', 'a', 't', 'ready', n > 1, 100, 0, 3, '2026' FROM n;
             UPDATE observer_deliveries SET ordering_key = 'k';
             INSERT INTO observer_dlq_items
                 (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, position, observer,
                  action, action_type, action_config, priority, ordering_key, attempts, attempts_before, max_attempts,
                  class, code, last_error, died_at)
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {0})
             SELECT '00000000-0000-0000-0000-' || printf('%012d', 1000 - n), n, 'e' || n, 'T', 'x', 'created', '2026', '{{}}', 0, 'o', 'a',
                    't', '{{}}', 100, 'k', 3, 0, 3, 'transient', 'c', 'm', '2026' FROM n;",
            piece::MOST
        );
        let path = store.path();
        let measure = store.inner.connections.write("test", Sync::Later, move |write| {
            write.execute_batch(&fill).unwrap();
            let filter = filtered(DEAD_IDS, &DeadLetterFilter::default());
            let all = filter.bind(i64::MIN).bind(0).bind("").bind_limit(MAX_IDS).all(write)?;
            let list = rows_as_json(&ids(&all)?);
            steps::taken(&path);
            let replayed = replay(write, &list, Timestamp::from_micros(0))?;
            let steps = steps::taken(&path);
            assert_eq!(replayed.len(), piece::MOST);
            let turn = "SELECT event_seq FROM observer_deliveries WHERE ordering_key = 'k' AND NOT blocked";
            assert_eq!(write.query_row(turn, (), |row| row.get::<_, i64>(0)).unwrap(), 1);
            Ok(steps)
        });
        measure.await.unwrap()
    }

    #[tokio::test]
    async fn a_replay_costs_the_same_however_many_are_live() {
        let (few, many) = (steps_of(300).await, steps_of(3000).await);
        assert!(many < few + few / 10, "{few} steps before 300 others, {many} before 3000");
    }
}
