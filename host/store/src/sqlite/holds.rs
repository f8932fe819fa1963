//! The table `observer_destinations`.

use async_trait::async_trait;

use super::{SqliteStore, connection::Sync, statement::statements};
use crate::{
    Hold, Holds, Lane, Lift, Result, Target,
    holds::{lanes_to_json, read_all, read_waiting},
};

statements! {
    LIST_HOLDS = "-- list_holds
SELECT kind, name, action, state, code, message, http_status, since, until, openings, lanes, definition, revision
FROM observer_destinations
ORDER BY kind, name, action";
    PUT_HOLD = "-- put_hold
INSERT INTO observer_destinations
    (kind, name, action, state, code, message, http_status, since, until, openings, lanes, definition, revision)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (kind, name, action) DO UPDATE
SET state = excluded.state, code = excluded.code, message = excluded.message, http_status = excluded.http_status,
    since = excluded.since, until = excluded.until, openings = excluded.openings, lanes = excluded.lanes
WHERE excluded.until > observer_destinations.until";
    LIFT_HOLD = "-- lift_hold
DELETE FROM observer_destinations
WHERE kind = ?1 AND name = ?2 AND action = ?3 AND (?4 IS NULL OR until <= ?4) AND (?5 IS NULL OR revision < ?5)";
    COUNT_WAITING = "-- count_waiting
SELECT observer, action, count(*) AS waiting FROM observer_deliveries
WHERE state <> 'running'
GROUP BY observer, action";
}

#[async_trait]
impl Holds for SqliteStore {
    async fn holds(&self) -> Result<Vec<Hold>> {
        self.inner.connections.read(|connection| Ok(read_all(&LIST_HOLDS.call().all(connection)?))).await
    }

    async fn hold(&self, hold: Hold) -> Result<()> {
        self.inner
            .connections
            .write("hold", Sync::Now, move |write| {
                let [kind, name, action] = hold.target.columns();
                let (definition, revision) = hold.definition.clone().unzip();
                let call = PUT_HOLD.call().bind(kind).bind(name).bind(action).bind(hold.state.as_str());
                let call =
                    call.bind(&hold.code).bind(&hold.message).bind(hold.http_status).bind_time(hold.since);
                let call = call.bind(hold.until.map(|at| at.to_string())).bind(hold.openings);
                call.bind(lanes_to_json(&hold.lanes)).bind(definition).bind(revision).execute(write)?;
                Ok(())
            })
            .await
    }

    async fn lift(&self, target: Target, only: Lift) -> Result<bool> {
        self.inner
            .connections
            .write("lift", Sync::Now, move |write| {
                let [kind, name, action] = target.columns();
                let (over_at, before) = only.bounds();
                let call = LIFT_HOLD.call().bind(kind).bind(name).bind(action);
                let lifted = call.bind(over_at.map(|at| at.to_string())).bind(before).execute(write)?;
                Ok(lifted > 0)
            })
            .await
    }

    /// Never: nothing tells a process what another one wrote but the log, which every commit of the application changes.
    async fn holds_bell(&self) {
        std::future::pending::<()>().await;
    }

    async fn waiting(&self) -> Result<Vec<(Lane, u64)>> {
        self.inner
            .connections
            .read(|connection| COUNT_WAITING.call().all(connection)?.iter().map(read_waiting).collect())
            .await
    }
}
