//! Deliveries as people see them.

use aftercommit_core::DeliveryState;
use async_trait::async_trait;

use super::{
    PostgresStore,
    session::Session,
    statement::{int, statements},
};
use crate::{
    Deliveries, DeliveryFilter, DeliveryPlace, DeliveryRow, EventOrder, Page, Result,
    page::{self, Window},
    readable::readable,
    row::Row as _,
};

/// Live deliveries of a page. Each page looks through all that are live, which is little, and rows are small.
const MAX_LIVE: usize = 10_000;

statements! {
    LIVE_DELIVERIES = "-- live_deliveries
SELECT event_seq, position, id, event_id, observer, action, action_type, state AS status, attempts, max_attempts, losses,
       last_error, next_attempt_at, created_at
FROM observer_deliveries
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR observer = $2) AND (event_seq, position, id) > ($3, $4, $5)
ORDER BY event_seq, position, id LIMIT $6";
    /// Reads what is live, which is little: an index for it would cost every delivery.
    DELIVERIES_OF_EVENT = "-- deliveries_of_event
SELECT id, event_id, observer, action, action_type, state AS status, attempts, max_attempts, losses, last_error,
       next_attempt_at, created_at
FROM observer_deliveries
WHERE event_seq = $1
ORDER BY position, id";
    /// Where a page begins. Numbers have gaps, so the highest one that is there is looked for.
    NEWEST_ATTEMPT_BELOW = "-- newest_attempt_below
SELECT pk_log, started_at FROM tb_observer_log WHERE pk_log < $1 ORDER BY pk_log DESC LIMIT 1";
    ENDED_DELIVERIES = "-- ended_deliveries
SELECT pk_log, delivery_id AS id, coalesce(event_id, '00000000-0000-0000-0000-000000000000') AS event_id, observer, action,
       action_type, status, attempt AS attempts, max_attempts, 0 AS losses,
       CASE WHEN status <> 'succeeded' OR code IS NOT NULL THEN message END AS last_error,
       NULL::timestamptz AS next_attempt_at, started_at AS created_at
FROM tb_observer_log
WHERE CASE WHEN $1::text IS NULL THEN status IN ('succeeded', 'waiting', 'dead', 'failed') ELSE status = $1 END
  AND ($2::text IS NULL OR observer = $2) AND ($3::text IS NULL OR code = $3) AND delivery_id IS NOT NULL
  AND pk_log <= $4 AND pk_log > $5
ORDER BY pk_log DESC LIMIT $6";
}

#[async_trait]
impl Deliveries for PostgresStore {
    async fn deliveries_page(
        &self,
        filter: &DeliveryFilter,
        after: Option<DeliveryPlace>,
    ) -> Result<Page<DeliveryRow, DeliveryPlace>> {
        let mut session = self.inner.connections.read().await?;
        if filter.is_of_log() {
            ended(&mut session, filter, after).await
        } else {
            live(&mut session, filter, after).await
        }
    }
}

async fn live(
    session: &mut Session<'_>,
    filter: &DeliveryFilter,
    after: Option<DeliveryPlace>,
) -> Result<Page<DeliveryRow, DeliveryPlace>> {
    let limit = filter.limit.min(MAX_LIVE);
    let EventOrder { event_seq, position, id } = DeliveryPlace::live(after);
    let call = LIVE_DELIVERIES
        .call()
        .bind(filter.state.map(DeliveryState::as_str))
        .bind(filter.observer.as_deref())
        .bind(event_seq)
        .bind(int(position))
        .bind(id.0);
    let found = call.page(session, limit).await?;
    let rows = readable("observer_deliveries", &["id"], &found.records, DeliveryRow::read);
    let last = found.cut_at().map(EventOrder::read).transpose()?;
    Ok(Page::new(rows, last.map(DeliveryPlace::Live)))
}

async fn ended(
    session: &mut Session<'_>,
    filter: &DeliveryFilter,
    after: Option<DeliveryPlace>,
) -> Result<Page<DeliveryRow, DeliveryPlace>> {
    let newest = NEWEST_ATTEMPT_BELOW.call().bind(DeliveryPlace::log(after)).optional(session).await?;
    let Some(newest) = newest else { return Ok(Page::new(Vec::new(), None)) };
    let window = Window::from(newest.get("pk_log")?);
    let call = ENDED_DELIVERIES
        .call()
        .bind(filter.state.map(DeliveryState::as_str))
        .bind(filter.observer.as_deref())
        .bind(filter.code.as_deref())
        .bind(window.first)
        .bind(window.end);
    let found = call.page(session, page::rows(filter.limit)).await?;
    let rows = readable("tb_observer_log", &["pk_log"], &found.records, DeliveryRow::read);
    let below = window.next(&found, "pk_log")?;
    let page = Page::new(rows, Some(DeliveryPlace::Log { below }));
    Ok(Page { looked_back_to: newest.optional_time("started_at")?, ..page })
}

/// The live deliveries of one event, in the order of its actions.
pub(super) async fn of_event(session: &mut Session<'_>, event_seq: i64) -> Result<Vec<DeliveryRow>> {
    let records = DELIVERIES_OF_EVENT.call().bind(event_seq).all(session).await?;
    records.iter().map(DeliveryRow::read).collect()
}
