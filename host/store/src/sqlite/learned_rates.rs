//! The table `observer_learned_rates`.

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{SqliteStore, connection::Sync, statement::statements};
use crate::{LearnedRates, PacedTarget, Result, Target, holds::lanes_to_json, learned_rates::read_all};

statements! {
    LIST_RATES = "-- list_rates
SELECT kind, name, per_minute, since, updated_at, lanes FROM observer_learned_rates ORDER BY kind, name";
    PUT_RATE = "-- put_rate
INSERT INTO observer_learned_rates (kind, name, per_minute, since, updated_at, lanes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (kind, name) DO UPDATE
SET per_minute = excluded.per_minute, updated_at = excluded.updated_at, lanes = excluded.lanes";
    DROP_RATE = "-- drop_rate
DELETE FROM observer_learned_rates WHERE kind = ?1 AND name = ?2 AND updated_at <= ?3";
}

#[async_trait]
impl LearnedRates for SqliteStore {
    async fn learned_rates(&self) -> Result<Vec<PacedTarget>> {
        self.inner.connections.read(|connection| Ok(read_all(&LIST_RATES.call().all(connection)?))).await
    }

    async fn keep_rate(&self, rate: PacedTarget) -> Result<()> {
        self.inner
            .connections
            .write("keep_rate", Sync::Now, move |write| {
                let [kind, name, _] = rate.target.columns();
                let call = PUT_RATE.call().bind(kind).bind(name).bind(i64::from(rate.per_minute));
                let call = call.bind_time(rate.since).bind_time(rate.updated_at);
                call.bind(lanes_to_json(&rate.lanes)).execute(write)?;
                Ok(())
            })
            .await
    }

    async fn forget_rate(&self, target: Target, at: Timestamp) -> Result<()> {
        self.inner
            .connections
            .write("forget_rate", Sync::Now, move |write| {
                let [kind, name, _] = target.columns();
                DROP_RATE.call().bind(kind).bind(name).bind(at.to_string()).execute(write)?;
                Ok(())
            })
            .await
    }
}
