//! Deliveries as people see them.

use aftercommit_core::DeliveryState;
use async_trait::async_trait;

use super::{PostgresStore, session::Session, statement::statements};
use crate::{Deliveries, DeliveryFilter, DeliveryRow, Result};

statements! {
    LIVE_DELIVERIES = "-- live_deliveries
SELECT id, event_id, observer, action, action_type, state AS status, attempts, max_attempts, losses, last_error,
       next_attempt_at, created_at
FROM observer_deliveries
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR observer = $2)
ORDER BY event_seq, position, id LIMIT $3";
    /// Reads what is live, which is little: an index for it would cost every delivery.
    DELIVERIES_OF_EVENT = "-- deliveries_of_event
SELECT id, event_id, observer, action, action_type, state AS status, attempts, max_attempts, losses, last_error,
       next_attempt_at, created_at
FROM observer_deliveries
WHERE event_seq = $1
ORDER BY position, id";
    ENDED_DELIVERIES = "-- ended_deliveries
SELECT delivery_id AS id, coalesce(event_id, '00000000-0000-0000-0000-000000000000') AS event_id, observer, action,
       action_type, status, attempt AS attempts, max_attempts, 0 AS losses,
       CASE WHEN status <> 'succeeded' OR code IS NOT NULL THEN message END AS last_error,
       NULL::timestamptz AS next_attempt_at, started_at AS created_at
FROM tb_observer_log
WHERE CASE WHEN $1::text IS NULL THEN status IN ('succeeded', 'waiting', 'dead', 'failed') ELSE status = $1 END
  AND ($2::text IS NULL OR observer = $2) AND ($4::text IS NULL OR code = $4) AND delivery_id IS NOT NULL
ORDER BY pk_log DESC LIMIT $3";
}

#[async_trait]
impl Deliveries for PostgresStore {
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>> {
        // Only the log has codes.
        let of_log = filter.code.is_some() || filter.state.is_some_and(DeliveryState::is_final);
        let mut session = self.inner.connections.read().await?;
        let statement = if of_log { ENDED_DELIVERIES } else { LIVE_DELIVERIES };
        let call = statement
            .call()
            .bind(filter.state.map(DeliveryState::as_str))
            .bind(filter.observer)
            .bind_limit(filter.limit);
        let call = if of_log { call.bind(filter.code) } else { call };
        let records = call.all(&mut session).await?;
        records.iter().map(DeliveryRow::read).collect()
    }
}

/// The live deliveries of one event, in the order of its actions.
pub(super) async fn of_event(session: &mut Session<'_>, event_seq: i64) -> Result<Vec<DeliveryRow>> {
    let records = DELIVERIES_OF_EVENT.call().bind(event_seq).all(session).await?;
    records.iter().map(DeliveryRow::read).collect()
}
