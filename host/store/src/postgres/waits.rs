//! Waits that a clock which was set back has made longer than they were meant to be.

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{PostgresStore, connection::Sync, session::Session, statement::statements};
use crate::{IN_THE_FUTURE, Result, Waits};

statements! {
    ARE_WAITS_IN_THE_FUTURE = "-- are_waits_in_the_future
SELECT EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'waiting' AND waiting_since > $1)
    OR EXISTS (SELECT 1 FROM observer_destinations WHERE until IS NOT NULL AND since > $1)";
    /// One that is claimed now needs it no more.
    PULL_IN_DELIVERIES = "-- pull_in_deliveries
UPDATE observer_deliveries
SET next_attempt_at = greatest($2::timestamptz, $2::timestamptz + (next_attempt_at - waiting_since)), waiting_since = $2
WHERE id = ANY (ARRAY(SELECT id FROM observer_deliveries WHERE state = 'waiting' AND waiting_since > $1
                      ORDER BY waiting_since LIMIT $3 FOR UPDATE SKIP LOCKED))
  AND state = 'waiting'";
    PULL_IN_DESTINATIONS = "-- pull_in_destinations
UPDATE observer_destinations SET until = $2::timestamptz + (until - since), since = $2 WHERE until IS NOT NULL AND since > $1";
}

#[async_trait]
impl Waits for PostgresStore {
    async fn pull_in(&self, now: Timestamp, limit: usize) -> Result<usize> {
        let connections = &self.inner.connections;
        let mut session = connections.read().await?;
        let latest = now.plus(IN_THE_FUTURE);
        let are_there: bool = ARE_WAITS_IN_THE_FUTURE.call().bind_time(latest).value(&mut session).await?;
        drop(session);
        if !are_there {
            return Ok(0);
        }
        connections
            .write("pull_in", Sync::Later, |session| Box::pin(pull_in(session, latest, now, limit)))
            .await
    }
}

async fn pull_in(
    session: &mut Session<'_>,
    latest: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<usize> {
    PULL_IN_DESTINATIONS.call().bind_time(latest).bind_time(now).execute(session).await?;
    PULL_IN_DELIVERIES.call().bind_time(latest).bind_time(now).bind_limit(limit).execute(session).await
}
