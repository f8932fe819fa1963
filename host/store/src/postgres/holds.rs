//! The table `observer_destinations`.

use async_trait::async_trait;

use super::{
    PostgresStore,
    connection::Sync,
    session::Session,
    statement::{int, statements},
    time::At,
};
use crate::{
    Hold, Holds, Lane, Lift, Result, Target,
    holds::{lanes_to_json, read_all, read_waiting},
};

statements! {
    LIST_HOLDS = "-- list_holds
SELECT kind, name, action, state, code, message, http_status, since, until, openings, lanes::text AS lanes, definition,
       revision
FROM observer_destinations
ORDER BY kind COLLATE \"C\", name COLLATE \"C\", action COLLATE \"C\"";
    PUT_HOLD = "-- put_hold
INSERT INTO observer_destinations AS present
    (kind, name, action, state, code, message, http_status, since, until, openings, lanes, definition, revision)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::json, $12, $13)
ON CONFLICT (kind, name, action) DO UPDATE
SET state = excluded.state, code = excluded.code, message = excluded.message, http_status = excluded.http_status,
    since = excluded.since, until = excluded.until, openings = excluded.openings, lanes = excluded.lanes
WHERE excluded.until > present.until";
    LIFT_HOLD = "-- lift_hold
DELETE FROM observer_destinations
WHERE kind = $1 AND name = $2 AND action = $3 AND ($4::timestamptz IS NULL OR until <= $4)
  AND ($5::bigint IS NULL OR revision < $5)";
    COUNT_WAITING = "-- count_waiting
SELECT observer, action, count(*) AS waiting FROM observer_deliveries
WHERE state <> 'running'
GROUP BY observer, action";
}

#[async_trait]
impl Holds for PostgresStore {
    async fn holds(&self) -> Result<Vec<Hold>> {
        let mut session = self.inner.connections.read().await?;
        Ok(read_all(&LIST_HOLDS.call().all(&mut session).await?))
    }

    async fn hold(&self, hold: Hold) -> Result<()> {
        let hold = &hold;
        self.inner.connections.write("hold", Sync::Now, |session| Box::pin(put(session, hold))).await
    }

    async fn lift(&self, target: Target, only: Lift) -> Result<bool> {
        let target = &target;
        self.inner.connections.write("lift", Sync::Now, |session| Box::pin(lift(session, target, only))).await
    }

    async fn holds_bell(&self) {
        self.inner.doorbell.holds().await;
    }

    async fn waiting(&self) -> Result<Vec<(Lane, u64)>> {
        let mut session = self.inner.connections.read().await?;
        COUNT_WAITING.call().all(&mut session).await?.iter().map(read_waiting).collect()
    }
}

async fn put(session: &mut Session<'_>, hold: &Hold) -> Result<()> {
    let [kind, name, action] = hold.target.columns();
    let (definition, revision) = hold.definition.clone().unzip();
    let call = PUT_HOLD.call().bind(kind).bind(name).bind(action).bind(hold.state.as_str());
    let call =
        call.bind(&hold.code).bind(&hold.message).bind(hold.http_status.map(int)).bind_time(hold.since);
    let call = call.bind(hold.until.map(At)).bind(int(hold.openings)).bind(lanes_to_json(&hold.lanes));
    call.bind(definition).bind(revision).execute(session).await?;
    Ok(())
}

async fn lift(session: &mut Session<'_>, target: &Target, only: Lift) -> Result<bool> {
    let [kind, name, action] = target.columns();
    let (over_at, before) = only.bounds();
    let call = LIFT_HOLD.call().bind(kind).bind(name).bind(action).bind(over_at.map(At)).bind(before);
    Ok(call.execute(session).await? > 0)
}
