//! Deliveries as people see them.

use aftercommit_core::DeliveryState;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{SqliteStore, statement::statements};
use crate::{
    Deliveries, DeliveryFilter, DeliveryPlace, DeliveryRow, EventOrder, Page, Result,
    page::{self, Window},
    readable::readable,
    row::Row as _,
};

statements! {
    LIVE_DELIVERIES = "-- live_deliveries
SELECT d.event_seq, d.position, d.id, coalesce(e.id, '00000000-0000-0000-0000-000000000000') AS event_id, d.observer, d.action, d.action_type,
       d.state AS status, d.attempts, d.max_attempts, d.losses, d.last_error, d.next_attempt_at, d.created_at
FROM observer_deliveries AS d LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE (?1 IS NULL OR d.state = ?1) AND (?2 IS NULL OR d.observer = ?2)
  AND d.event_seq >= ?3 AND (d.event_seq, d.position, d.id) > (?3, ?4, ?5)
ORDER BY d.event_seq, d.position, d.id LIMIT ?6";
    DELIVERIES_OF_EVENT = "-- deliveries_of_event
SELECT d.id, e.id AS event_id, d.observer, d.action, d.action_type,
       d.state AS status, d.attempts, d.max_attempts, d.losses, d.last_error, d.next_attempt_at, d.created_at
FROM observer_deliveries AS d JOIN observer_events AS e ON e.seq = d.event_seq
WHERE d.event_seq = ?1
ORDER BY d.position, d.id";
    /// Where a page begins. Numbers have gaps, so the highest one that is there is looked for.
    NEWEST_ATTEMPT_BELOW = "-- newest_attempt_below
SELECT pk_log, started_at FROM tb_observer_log WHERE pk_log < ?1 ORDER BY pk_log DESC LIMIT 1";
    ENDED_DELIVERIES = "-- ended_deliveries
SELECT pk_log, delivery_id AS id, coalesce(event_id, '00000000-0000-0000-0000-000000000000') AS event_id, observer, action,
       action_type, status, attempt AS attempts, max_attempts, 0 AS losses,
       iif(status = 'succeeded' AND code IS NULL, NULL, message) AS last_error,
       NULL AS next_attempt_at, started_at AS created_at
FROM tb_observer_log
WHERE CASE WHEN ?1 IS NULL THEN status IN ('succeeded', 'waiting', 'dead', 'failed') ELSE status = ?1 END
  AND (?2 IS NULL OR observer = ?2) AND (?3 IS NULL OR code = ?3) AND delivery_id IS NOT NULL
  AND pk_log <= ?4 AND pk_log > ?5
ORDER BY pk_log DESC LIMIT ?6";
}

#[async_trait]
impl Deliveries for SqliteStore {
    async fn deliveries_page(
        &self,
        filter: &DeliveryFilter,
        after: Option<DeliveryPlace>,
    ) -> Result<Page<DeliveryRow, DeliveryPlace>> {
        let filter = filter.clone();
        let list = if filter.is_of_log() { ended } else { live };
        self.inner.connections.read_moment(move |moment| list(moment, &filter, after)).await
    }
}

fn live(
    moment: &Connection,
    filter: &DeliveryFilter,
    after: Option<DeliveryPlace>,
) -> Result<Page<DeliveryRow, DeliveryPlace>> {
    let EventOrder { event_seq, position, id } = DeliveryPlace::live(after);
    let call = LIVE_DELIVERIES
        .call()
        .bind(filter.state.map(DeliveryState::as_str))
        .bind(filter.observer.as_deref())
        .bind(event_seq)
        .bind(position)
        .bind(id.to_string());
    let found = call.page(moment, page::rows(filter.limit))?;
    let rows = readable("observer_deliveries", &["id"], &found.records, DeliveryRow::read);
    let last = found.cut_at().map(EventOrder::read).transpose()?;
    Ok(Page::new(rows, last.map(DeliveryPlace::Live)))
}

fn ended(
    moment: &Connection,
    filter: &DeliveryFilter,
    after: Option<DeliveryPlace>,
) -> Result<Page<DeliveryRow, DeliveryPlace>> {
    let newest = NEWEST_ATTEMPT_BELOW.call().bind(DeliveryPlace::log(after)).optional(moment)?;
    let Some(newest) = newest else { return Ok(Page::new(Vec::new(), None)) };
    let window = Window::from(newest.get("pk_log")?);
    let call = ENDED_DELIVERIES
        .call()
        .bind(filter.state.map(DeliveryState::as_str))
        .bind(filter.observer.as_deref())
        .bind(filter.code.as_deref())
        .bind(window.first)
        .bind(window.end);
    let found = call.page(moment, page::rows(filter.limit))?;
    let rows = readable("tb_observer_log", &["pk_log"], &found.records, DeliveryRow::read);
    let below = window.next(&found, "pk_log")?;
    let page = Page::new(rows, Some(DeliveryPlace::Log { below }));
    Ok(Page { looked_back_to: newest.optional_time("started_at").unwrap_or_default(), ..page })
}

/// The live deliveries of one event, in the order of its actions.
pub(super) fn of_event(connection: &Connection, event_seq: i64) -> Result<Vec<DeliveryRow>> {
    let records = DELIVERIES_OF_EVENT.call().bind(event_seq).all(connection)?;
    records.iter().map(DeliveryRow::read).collect()
}
