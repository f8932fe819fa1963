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
    statement::{Call, statements},
};
use crate::{
    EventFilter, EventHistory, EventPlace, Events, Page, Result, StoreError,
    events::{AttemptRow, MAX_ATTEMPTS},
    page::{self, Window},
    row::Row as _,
};

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
    LIST_WAITING = "-- list_waiting
SELECT place, seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent, problem
FROM observer_inbox
WHERE event_kind IS NOT NULL AND (place, seq) < ($1, $2) AND ($3::text IS NULL OR entity_type = $3)
  AND ($4::text IS NULL OR entity_id = $4) AND ($5::text[] IS NULL OR lower(event_kind) = ANY ($5))
ORDER BY place DESC, seq DESC LIMIT $6";
    SEQ_OF_EVENT = "-- seq_of_event
SELECT seq FROM observer_events WHERE id = $1 LIMIT 1";
    /// Where a page begins. Numbers have gaps, so the highest one that is there is looked for.
    NEWEST_BELOW = "-- newest_event_below
SELECT seq, occurred_at FROM observer_events WHERE seq < $1 ORDER BY seq DESC LIMIT 1";
    LIST_EVENTS = "-- list_events
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data::text AS data, old::text AS old,
       changed::text AS changed, tenant_id, actor, traceparent
FROM observer_events
WHERE seq <= $1 AND seq > $2 AND ($3::text IS NULL OR entity_type = $3) AND ($4::text IS NULL OR entity_id = $4)
  AND ($5::text[] IS NULL OR event_kind = ANY ($5))
ORDER BY seq DESC LIMIT $6";
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
ORDER BY pk_log DESC LIMIT $2";
    COUNT_INBOX = "-- count_inbox
SELECT count(*) FROM observer_inbox";
}

#[async_trait]
impl Events for PostgresStore {
    async fn emit(&self, event: EntityEvent) -> Result<()> {
        let event = &event;
        self.inner.connections.write("emit", Sync::Now, |session| Box::pin(emit(session, event))).await
    }

    async fn events_page(
        &self,
        filter: &EventFilter,
        after: Option<EventPlace>,
    ) -> Result<Page<EntityEvent, EventPlace>> {
        let mut moment = self.inner.connections.read_transaction().await?;
        let limit = page::rows(filter.limit);
        let (mut events, below) = match taken_from(&mut moment, after).await? {
            Some(below) => (Vec::new(), below),
            None => match waiting(&mut moment, filter, after, limit).await? {
                full @ Page { next: Some(_), .. } => return Ok(full),
                rest => (rest.rows, i64::MAX),
            },
        };
        let mut page = taken(&mut moment, filter, below, limit - events.len()).await?;
        events.append(&mut page.rows);
        Ok(Page { rows: events, ..page })
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
        let attempts =
            ATTEMPTS_OF_EVENT.call().bind(id).bind_limit(MAX_ATTEMPTS + 1).all(&mut moment).await?;
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

/// Where a list goes on among the events that were taken, if it does: below the event that was listed last, when that one was taken
/// meanwhile, since events are taken in the order of the inbox.
async fn taken_from(moment: &mut Session<'_>, after: Option<EventPlace>) -> Result<Option<i64>> {
    match after {
        Some(EventPlace::Taken { below }) => Ok(Some(below)),
        Some(EventPlace::Inbox { event: Some(id), .. }) => {
            let record = SEQ_OF_EVENT.call().bind(id).optional(moment).await?;
            record.map(|record| record.get("seq")).transpose()
        }
        _ => Ok(None),
    }
}

/// Events that wait in the inbox. There is no next page when these were the last.
async fn waiting(
    moment: &mut Session<'_>,
    filter: &EventFilter,
    after: Option<EventPlace>,
    limit: usize,
) -> Result<Page<EntityEvent, EventPlace>> {
    let (place, seq, shown) = match after {
        Some(EventPlace::Inbox { place, seq, event }) => (place, seq, event),
        _ => (i64::MAX, i64::MAX, None),
    };
    let found = filtered(LIST_WAITING.call().bind(place).bind(seq), filter).page(moment, limit).await?;
    // A row that intake has not put aside yet is passed over as well.
    let events: Result<Vec<EntityEvent>> = found
        .records
        .iter()
        .filter_map(|record| event_row::read_change(record).map(Read::ok).transpose())
        .collect();
    let events = events?;
    let next = match found.cut_at() {
        Some(last) => Some(EventPlace::Inbox {
            place: last.get("place")?,
            seq: last.get("seq")?,
            event: events.last().map(|event| event.id).or(shown),
        }),
        None => None,
    };
    Ok(Page::new(events, next))
}

/// Events that were taken, with numbers below this one.
async fn taken(
    moment: &mut Session<'_>,
    filter: &EventFilter,
    below: i64,
    limit: usize,
) -> Result<Page<EntityEvent, EventPlace>> {
    let Some(newest) = NEWEST_BELOW.call().bind(below).optional(moment).await? else {
        return Ok(Page::new(Vec::new(), None));
    };
    let window = Window::from(newest.get("seq")?);
    let call = filtered(LIST_EVENTS.call().bind(window.first).bind(window.end), filter);
    let found = call.page(moment, limit).await?;
    let events: Result<Vec<EntityEvent>> =
        found.records.iter().filter_map(|record| event_row::read(record).map(Read::ok).transpose()).collect();
    let below = window.next(&found, "seq")?;
    let page = Page::new(events?, Some(EventPlace::Taken { below }));
    Ok(Page { looked_back_to: newest.optional_time("occurred_at")?, ..page })
}

/// Binds what a filter wants; lists of both halves of the path do it alike.
fn filtered(call: Call, filter: &EventFilter) -> Call {
    call.bind(filter.entity_type.as_deref())
        .bind(filter.entity_id.as_deref())
        .bind(filter.event_kind.map(spellings))
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
