//! Waits that became too long because the clock was set back since they began.

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{PostgresStore, connection::Sync, session::Session, statement::statements};
use crate::{IN_THE_FUTURE, Result, Waits};

/// So many deliveries are written in one transaction, so that claims do not wait long for their rows.
const PIECE: i64 = 500;

statements! {
    ARE_WAITS_IN_THE_FUTURE = "-- are_waits_in_the_future
SELECT EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'waiting' AND waiting_since > $1)
    OR EXISTS (SELECT 1 FROM observer_destinations WHERE until IS NOT NULL AND since > $1)";
    /// Rows that are locked are being claimed, and wait no longer. An end that is infinite or before its beginning becomes now.
    PULL_IN_DELIVERIES = "-- pull_in_deliveries
UPDATE observer_deliveries
SET next_attempt_at = CASE WHEN isfinite(waiting_since) AND isfinite(next_attempt_at) AND next_attempt_at > waiting_since
                           THEN $2::timestamptz + (next_attempt_at - waiting_since) ELSE $2 END,
    waiting_since = $2
WHERE id = ANY (ARRAY(SELECT id FROM observer_deliveries WHERE state = 'waiting' AND waiting_since > $1
                      ORDER BY waiting_since LIMIT $3 FOR UPDATE SKIP LOCKED))";
    PULL_IN_DESTINATIONS = "-- pull_in_destinations
UPDATE observer_destinations
SET until = CASE WHEN isfinite(since) AND isfinite(until) AND until > since THEN $2::timestamptz + (until - since) ELSE $2 END,
    since = $2
WHERE until IS NOT NULL AND since > $1";
}

#[async_trait]
impl Waits for PostgresStore {
    async fn pull_in(&self, now: Timestamp) -> Result<usize> {
        let connections = &self.inner.connections;
        let mut session = connections.read().await?;
        let latest = now.plus(IN_THE_FUTURE);
        let are_there: bool = ARE_WAITS_IN_THE_FUTURE.call().bind_time(latest).value(&mut session).await?;
        drop(session);
        if !are_there {
            return Ok(0);
        }
        let mut all = 0;
        loop {
            let deliveries = connections
                .write("pull_in", Sync::Later, |session| Box::pin(pull_in(session, latest, now)))
                .await?;
            all += deliveries;
            if deliveries == 0 {
                return Ok(all);
            }
        }
    }
}

async fn pull_in(session: &mut Session<'_>, latest: Timestamp, now: Timestamp) -> Result<usize> {
    PULL_IN_DESTINATIONS.call().bind_time(latest).bind_time(now).execute(session).await?;
    PULL_IN_DELIVERIES.call().bind_time(latest).bind_time(now).bind(PIECE).execute(session).await
}
