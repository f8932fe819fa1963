//! Deliveries as people see them.

use aftercommit_core::DeliveryState;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{SqliteStore, statement::statements};
use crate::{Deliveries, DeliveryFilter, DeliveryRow, Result};

statements! {
    LIVE_DELIVERIES = "-- live_deliveries
SELECT d.id, coalesce(e.id, '00000000-0000-0000-0000-000000000000') AS event_id, d.observer, d.action, d.action_type,
       d.state AS status, d.attempts, d.max_attempts, d.losses, d.last_error, d.next_attempt_at, d.created_at
FROM observer_deliveries AS d LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE (?1 IS NULL OR d.state = ?1) AND (?2 IS NULL OR d.observer = ?2)
ORDER BY d.event_seq, d.position, d.id LIMIT ?3";
    DELIVERIES_OF_EVENT = "-- deliveries_of_event
SELECT d.id, e.id AS event_id, d.observer, d.action, d.action_type,
       d.state AS status, d.attempts, d.max_attempts, d.losses, d.last_error, d.next_attempt_at, d.created_at
FROM observer_deliveries AS d JOIN observer_events AS e ON e.seq = d.event_seq
WHERE d.event_seq = ?1
ORDER BY d.position, d.id";
    ENDED_DELIVERIES = "-- ended_deliveries
SELECT delivery_id AS id, coalesce(event_id, '00000000-0000-0000-0000-000000000000') AS event_id, observer, action,
       action_type, status, attempt AS attempts, max_attempts, 0 AS losses,
       iif(status = 'succeeded' AND code IS NULL, NULL, message) AS last_error,
       NULL AS next_attempt_at, started_at AS created_at
FROM tb_observer_log
WHERE CASE WHEN ?1 IS NULL THEN status IN ('succeeded', 'waiting', 'dead', 'failed') ELSE status = ?1 END
  AND (?2 IS NULL OR observer = ?2) AND (?4 IS NULL OR code = ?4) AND delivery_id IS NOT NULL
ORDER BY pk_log DESC LIMIT ?3";
}

#[async_trait]
impl Deliveries for SqliteStore {
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>> {
        // Only the log has codes.
        let of_log = filter.code.is_some() || filter.state.is_some_and(DeliveryState::is_final);
        self.inner
            .connections
            .read(move |connection| {
                let statement = if of_log { ENDED_DELIVERIES } else { LIVE_DELIVERIES };
                let call = statement
                    .call()
                    .bind(filter.state.map(DeliveryState::as_str))
                    .bind(filter.observer)
                    .bind_limit(filter.limit);
                let call = if of_log { call.bind(filter.code) } else { call };
                let records = call.all(connection)?;
                records.iter().map(DeliveryRow::read).collect()
            })
            .await
    }
}

/// The live deliveries of one event, in the order of its actions.
pub(super) fn of_event(connection: &Connection, event_seq: i64) -> Result<Vec<DeliveryRow>> {
    let records = DELIVERIES_OF_EVENT.call().bind(event_seq).all(connection)?;
    records.iter().map(DeliveryRow::read).collect()
}
