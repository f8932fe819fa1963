//! Events as people see them.

use aftercommit_core::{EntityEvent, EventKind};
use async_trait::async_trait;
use rusqlite::Connection;
use uuid::Uuid;

use super::{
    SqliteStore,
    connection::Sync,
    deliveries, event_row, inbox_row,
    statement::{Call, Statement, statements},
};
use crate::{
    EventFilter, EventHistory, EventPlace, Events, Page, Result, StoreError,
    events::{AttemptRow, MAX_ATTEMPTS},
    page::{self, Window},
    row::Row as _,
};

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
WHERE pending IS NULL AND event_seq IS NULL AND seq < ?4
  AND (?1 IS NULL OR entity_type = ?1) AND (?2 IS NULL OR ?2 IN (entity_id, old_id))
  AND (?3 IS NULL OR iif(id IS NULL AND event_kind = 'updated' AND old_id IS NOT entity_id,
                         ?3 IN ('deleted', 'created'), event_kind = ?3))
ORDER BY seq DESC LIMIT ?5";
    SHOW_WAITING = "-- show_waiting
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, old_id, changed, tenant_id, actor,
       traceparent
FROM observer_inbox
WHERE seq = coalesce((SELECT seq FROM observer_inbox WHERE id = ?1), ?2) AND pending IS NULL AND event_seq IS NULL";
    SEQ_OF_EVENT = "-- seq_of_event
SELECT seq FROM observer_events WHERE id = ?1";
    /// Where a page begins. Numbers have gaps, so the highest one that is there is looked for.
    NEWEST_BELOW = "-- newest_event_below
SELECT seq, occurred_at FROM observer_events WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
    LIST_EVENTS = "-- list_events
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_events AS e
WHERE seq <= ?4 AND seq > ?5
  AND (?1 IS NULL OR entity_type = ?1) AND (?2 IS NULL OR entity_id = ?2) AND (?3 IS NULL OR event_kind = ?3)
  AND NOT EXISTS (SELECT 1 FROM observer_quarantine AS q WHERE q.event_seq = e.seq)
ORDER BY seq DESC LIMIT ?6";
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
ORDER BY pk_log DESC LIMIT ?2";
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

    async fn events_page(
        &self,
        filter: &EventFilter,
        after: Option<EventPlace>,
    ) -> Result<Page<EntityEvent, EventPlace>> {
        let filter = filter.clone();
        self.inner.connections.read_moment(move |moment| list(moment, &filter, after)).await
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

type Listed = Page<EntityEvent, EventPlace>;

/// The newest first: what waits in the inbox, then what was taken from it.
fn list(moment: &Connection, filter: &EventFilter, after: Option<EventPlace>) -> Result<Listed> {
    let limit = page::rows(filter.limit);
    let (mut events, below) = match taken_from(moment, after)? {
        Some(below) => (Vec::new(), below),
        None => match waiting(moment, filter, after, limit)? {
            full @ Page { next: Some(_), .. } => return Ok(full),
            rest => (rest.rows, i64::MAX),
        },
    };
    let mut page = taken(moment, filter, below, limit - events.len())?;
    events.append(&mut page.rows);
    Ok(Page { rows: events, ..page })
}

/// Where a list goes on among the events that were taken, if it does: below the event that was listed last, when that one was taken
/// meanwhile, since events are taken in the order of the inbox.
fn taken_from(moment: &Connection, after: Option<EventPlace>) -> Result<Option<i64>> {
    match after {
        Some(EventPlace::Taken { below }) => Ok(Some(below)),
        Some(EventPlace::Inbox { event: Some(id), .. }) => {
            let record = SEQ_OF_EVENT.call().bind(id.to_string()).optional(moment)?;
            record.map(|record| record.get("seq")).transpose()
        }
        _ => Ok(None),
    }
}

/// Events that wait in the inbox. There is no next page when these were the last.
fn waiting(
    moment: &Connection,
    filter: &EventFilter,
    after: Option<EventPlace>,
    limit: usize,
) -> Result<Listed> {
    let (seq, shown) = match after {
        Some(EventPlace::Inbox { seq, event, .. }) => (seq, event),
        _ => (i64::MAX, None),
    };
    let is_wanted = |event: &EntityEvent| {
        filter.event_kind.is_none_or(|kind| kind == event.event_kind)
            && filter.entity_id.as_ref().is_none_or(|id| *id == event.entity_id)
    };
    let found = filtered(LIST_WAITING, filter).bind(seq).page(moment, limit)?;
    let mut events: Vec<EntityEvent> = Vec::new();
    for record in &found.records {
        // A row that intake has not put aside yet is passed over as well.
        let waiting = inbox_row::events(record)?.into_iter().rev();
        events.extend(waiting.filter_map(|waiting| waiting.event.ok()).filter(is_wanted));
    }
    // An update of the key is two events, so there may be more of them than rows.
    let next = match found.records.last().filter(|_| found.has_more || events.len() >= limit) {
        Some(last) => Some(EventPlace::Inbox {
            place: 0,
            seq: last.get("seq")?,
            event: events.last().map(|event| event.id).or(shown),
        }),
        None => None,
    };
    Ok(Page::new(events, next))
}

/// Events that were taken, with numbers below this one.
fn taken(moment: &Connection, filter: &EventFilter, below: i64, limit: usize) -> Result<Listed> {
    let Some(newest) = NEWEST_BELOW.call().bind(below).optional(moment)? else {
        return Ok(Page::new(Vec::new(), None));
    };
    let window = Window::from(newest.get("seq")?);
    let found = filtered(LIST_EVENTS, filter).bind(window.first).bind(window.end).page(moment, limit)?;
    let mut events = Vec::new();
    for record in &found.records {
        events.extend(event_row::read_lenient(record)?);
    }
    let below = window.next(&found, "seq")?;
    // Somebody may have written anything as its time.
    let looked_back_to = newest.optional_time("occurred_at").unwrap_or_default();
    Ok(Page { looked_back_to, ..Page::new(events, Some(EventPlace::Taken { below })) })
}

/// A call with what a filter wants, as its first three arguments.
fn filtered(statement: Statement, filter: &EventFilter) -> Call {
    statement
        .call()
        .bind(filter.entity_type.as_deref())
        .bind(filter.entity_id.as_deref())
        .bind(filter.event_kind.map(EventKind::as_str))
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
    let attempts = ATTEMPTS_OF_EVENT.call().bind(id.to_string()).bind_limit(MAX_ATTEMPTS + 1).all(moment)?;
    let attempts = attempts.iter().map(AttemptRow::read).collect::<Result<_>>()?;
    Ok(EventHistory::new(event, in_inbox, deliveries, attempts))
}
