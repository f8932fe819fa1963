//! Waits that became too long because the clock was set back since they began.

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    piece,
    statement::{Record, rows_as_json, statements},
};
use crate::{IN_THE_FUTURE, Result, Waits, row::Row as _};

statements! {
    WAITS_IN_THE_FUTURE = "-- waits_in_the_future
SELECT id, waiting_since AS since, next_attempt_at AS until FROM observer_deliveries
WHERE state = 'waiting' AND waiting_since > ?1 ORDER BY waiting_since LIMIT ?2";
    HOLDS_IN_THE_FUTURE = "-- holds_in_the_future
SELECT json_array(kind, name, action) AS id, since, until FROM observer_destinations
WHERE until IS NOT NULL AND since > ?1";
    PULL_IN_DELIVERIES = "-- pull_in_deliveries
UPDATE observer_deliveries SET next_attempt_at = w.until, waiting_since = ?2
FROM (SELECT value ->> 0 AS id, value ->> 1 AS until FROM json_each(?1)) AS w
WHERE observer_deliveries.id = w.id";
    PULL_IN_DESTINATIONS = "-- pull_in_destinations
UPDATE observer_destinations SET until = w.until, since = ?2
FROM (SELECT value ->> 0 AS id, value ->> 1 AS until FROM json_each(?1)) AS w
WHERE json_array(observer_destinations.kind, observer_destinations.name, observer_destinations.action) = w.id";
}

#[async_trait]
impl Waits for SqliteStore {
    async fn pull_in(&self, now: Timestamp) -> Result<usize> {
        let latest = now.plus(IN_THE_FUTURE);
        let connections = &self.inner.connections;
        let look = move |connection: &Connection| {
            Ok(deliveries(connection, latest, 1)?.len() + destinations(connection, latest)?.len())
        };
        if connections.read(look).await? == 0 {
            return Ok(0);
        }
        let mut all = 0;
        loop {
            let written = connections
                .write_piece("pull_in", Sync::Later, move |write| pull_in(write, latest, now))
                .await?;
            all += written;
            if written == 0 {
                return Ok(all);
            }
        }
    }
}

fn pull_in(write: &Connection, latest: Timestamp, now: Timestamp) -> Result<usize> {
    let ends = |rows: &[Record]| {
        let ends =
            rows.iter().map(|row| Ok((row.string("id")?, end(row, now)))).collect::<Result<Vec<_>>>()?;
        Ok::<_, crate::StoreError>(rows_as_json(&ends))
    };
    let holds = ends(&destinations(write, latest)?)?;
    PULL_IN_DESTINATIONS.call().bind(holds).bind_time(now).execute(write)?;
    let waits = ends(&deliveries(write, latest, piece::MOST)?)?;
    PULL_IN_DELIVERIES.call().bind(waits).bind_time(now).execute(write)
}

fn deliveries(connection: &Connection, latest: Timestamp, limit: usize) -> Result<Vec<Record>> {
    WAITS_IN_THE_FUTURE.call().bind_time(latest).bind_limit(limit).all(connection)
}

fn destinations(connection: &Connection, latest: Timestamp) -> Result<Vec<Record>> {
    HOLDS_IN_THE_FUTURE.call().bind_time(latest).all(connection)
}

/// Until when the row waits if it does so from `now` on. Where somebody wrote a time that cannot be read, until now.
fn end(row: &Record, now: Timestamp) -> Timestamp {
    match (row.time("since"), row.time("until")) {
        (Ok(since), Ok(until)) => now.plus(until.since(since)),
        _ => now,
    }
}
