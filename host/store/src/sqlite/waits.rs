//! Waits that a clock which was set back has made longer than they were meant to be.

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    statement::{Record, rows_as_json, statements},
};
use crate::{IN_THE_FUTURE, Result, Waits, row::Row as _};

statements! {
    WAITS_IN_THE_FUTURE = "-- waits_in_the_future
SELECT id, waiting_since AS since, next_attempt_at AS until FROM observer_deliveries
WHERE state = 'waiting' AND waiting_since > ?1 ORDER BY waiting_since LIMIT ?2";
    HOLDS_IN_THE_FUTURE = "-- holds_in_the_future
SELECT name, since, until FROM observer_destinations
WHERE kind = 'destination' AND until IS NOT NULL AND since > ?1";
    PULL_IN_DELIVERIES = "-- pull_in_deliveries
UPDATE observer_deliveries SET next_attempt_at = w.until, waiting_since = ?2
FROM (SELECT value ->> 0 AS id, value ->> 1 AS until FROM json_each(?1)) AS w
WHERE observer_deliveries.id = w.id";
    PULL_IN_DESTINATIONS = "-- pull_in_destinations
UPDATE observer_destinations SET until = w.until, since = ?2
FROM (SELECT value ->> 0 AS name, value ->> 1 AS until FROM json_each(?1)) AS w
WHERE observer_destinations.kind = 'destination' AND observer_destinations.name = w.name";
}

#[async_trait]
impl Waits for SqliteStore {
    async fn pull_in(&self, now: Timestamp, limit: usize) -> Result<usize> {
        let latest = now.plus(IN_THE_FUTURE);
        let connections = &self.inner.connections;
        let look = move |connection: &Connection| {
            let (deliveries, destinations) = find(connection, latest, 1)?;
            Ok(deliveries.len() + destinations.len())
        };
        if connections.read(look).await? == 0 {
            return Ok(0);
        }
        connections
            .write("pull_in", Sync::Later, move |write| {
                let (deliveries, destinations) = find(write, latest, limit)?;
                let moved = |rows: &[Record], key: &str| {
                    // A row in which somebody wrote what is no time is left as it is.
                    let pairs: Vec<_> = rows.iter().filter_map(|row| pulled_in(row, key, now).ok()).collect();
                    rows_as_json(&pairs)
                };
                let holds = PULL_IN_DESTINATIONS.call().bind(moved(&destinations, "name"));
                holds.bind_time(now).execute(write)?;
                PULL_IN_DELIVERIES.call().bind(moved(&deliveries, "id")).bind_time(now).execute(write)
            })
            .await
    }
}

/// Deliveries and destinations that wait since later than `latest`.
fn find(connection: &Connection, latest: Timestamp, limit: usize) -> Result<(Vec<Record>, Vec<Record>)> {
    let deliveries = WAITS_IN_THE_FUTURE.call().bind_time(latest).bind_limit(limit).all(connection)?;
    Ok((deliveries, HOLDS_IN_THE_FUTURE.call().bind_time(latest).all(connection)?))
}

/// What the row is called, and until when it waits from `now` on.
fn pulled_in(row: &Record, key: &str, now: Timestamp) -> Result<(String, Timestamp)> {
    let wait = row.time("until")?.since(row.time("since")?);
    Ok((row.string(key)?, now.plus(wait)))
}
