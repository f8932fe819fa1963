//! Which hosts live, and what becomes of the work of those that do not.

use std::{collections::HashSet, ops::RangeInclusive, sync::Arc, time::Duration};

use aftercommit_core::{DeliveryId, Losses, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    Inner, SqliteStore,
    connection::Sync,
    statement::{rows_as_json, statements},
};
use crate::{
    HostId, HostRow, Hosts, Result, TakenOver,
    hosts::{Loss, Running, entered, running},
};

statements! {
    REGISTER_HOST = "-- register_host
INSERT INTO observer_hosts (id, name, started_at, heartbeat_at) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, heartbeat_at = excluded.heartbeat_at";
    HEARTBEAT = "-- heartbeat
UPDATE observer_hosts SET heartbeat_at = ?2 WHERE id = ?1";
    LIST_HOSTS = "-- list_hosts
SELECT id, name, started_at, heartbeat_at, revision FROM observer_hosts ORDER BY started_at, id";
    DELETE_HOSTS = "-- delete_hosts
DELETE FROM observer_hosts WHERE id IN (SELECT value FROM json_each(?1))";
    DELETE_LOAD_ERRORS = "-- delete_load_errors_of_hosts
DELETE FROM observer_load_errors WHERE host IN (SELECT value FROM json_each(?1))";
    /// A delivery whose owner is not entered is nobody's either: its host was removed while it took the delivery.
    ORPHANS = "-- orphans
SELECT id, owner, attempts, begun, uncharged, losses, lone_losses FROM observer_deliveries
WHERE state = 'running' AND owner NOT IN (SELECT id FROM observer_hosts)";
    OWNED_DELIVERIES = "-- owned_deliveries
SELECT id, owner, attempts, begun, uncharged, losses, lone_losses FROM observer_deliveries
WHERE state = 'running' AND owner = ?1";
    /// The attempt may have done its work or not: that is on record, like every other attempt.
    LOG_LOST = "-- log_lost
INSERT INTO tb_observer_log
    (delivery_id, event_id, observer, action, action_type, attempt, max_attempts, status, class, code, message,
     started_at, duration_us)
SELECT d.id, e.id, d.observer, d.action, d.action_type, d.attempts, d.max_attempts, 'lost', NULL, ?3,
       o.value ->> 7, ?2, 0
FROM json_each(?1) AS o
     CROSS JOIN observer_deliveries AS d ON d.id = o.value ->> 0
     LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE d.state = 'running' AND d.owner = o.value ->> 1 AND d.attempts = o.value ->> 2 AND d.begun = o.value ->> 3";
    /// Only those that are still as they were found, as for the log.
    FREE_DELIVERIES = "-- free_deliveries
UPDATE observer_deliveries
SET state = 'ready', owner = NULL, begun = 0, uncharged = o.uncharged, losses = o.losses,
    lone_losses = o.lone_losses, last_error = o.message
FROM (SELECT value ->> 0 AS id, value ->> 1 AS owner, value ->> 2 AS attempts, value ->> 3 AS begun,
             value ->> 4 AS uncharged, value ->> 5 AS losses, value ->> 6 AS lone_losses, value ->> 7 AS message
      FROM json_each(?1)) AS o
WHERE observer_deliveries.id = o.id AND observer_deliveries.state = 'running' AND observer_deliveries.owner = o.owner
  AND observer_deliveries.attempts = o.attempts AND observer_deliveries.begun = o.begun";
}

#[async_trait]
impl Hosts for SqliteStore {
    async fn database_time(&self) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    async fn register(&self, host: HostId, name: &str, now: Timestamp) -> Result<()> {
        let (name, inner) = (name.to_owned(), Arc::clone(&self.inner));
        self.inner
            .connections
            .write("register", Sync::Later, move |write| {
                REGISTER_HOST.call().bind(host.to_string()).bind(name).bind_time(now).execute(write)?;
                // Within the transaction: whoever removes signs of life does so within one, too.
                inner.liveness.show(host);
                let entered: Vec<_> = list(write)?.iter().map(|host| host.id).collect();
                inner.liveness.clean(&entered);
                Ok(())
            })
            .await
    }

    async fn heartbeat(&self, host: HostId, now: Timestamp) -> Result<bool> {
        self.inner
            .connections
            .write("heartbeat", Sync::Later, move |write| {
                let renewed = HEARTBEAT.call().bind(host.to_string()).bind_time(now).execute(write)?;
                Ok(renewed == 1)
            })
            .await
    }

    async fn take_over(&self, now: Timestamp, alive: RangeInclusive<Timestamp>) -> Result<TakenOver> {
        if !self.may_take_over(alive.clone()).await? {
            return Ok(TakenOver::default());
        }
        let inner = Arc::clone(&self.inner);
        self.inner
            .connections
            .write("take_over", Sync::Later, move |write| {
                let rows = LIST_HOSTS.call().all(write)?;
                let entered = entered(&rows);
                let gone: Vec<_> =
                    entered.iter().filter(|host| inner.is_gone(host, &alive)).map(|host| host.id).collect();
                let deliveries = remove(write, &gone, now)?;
                let staying: Vec<_> =
                    entered.iter().map(|host| host.id).filter(|host| !gone.contains(host)).collect();
                // A row that cannot be read may be that of a host that lives.
                if entered.len() == rows.len() {
                    inner.liveness.clean(&staying);
                }
                Ok(TakenOver { hosts: gone, deliveries })
            })
            .await
    }

    async fn free_unknown(
        &self,
        host: HostId,
        known: HashSet<(DeliveryId, u32)>,
        given_up: HashSet<(DeliveryId, u32)>,
        now: Timestamp,
    ) -> Result<usize> {
        let read = move |connection: &Connection| {
            let mut owned = owned(connection, host)?;
            owned.retain(|running| !known.contains(&(running.id, running.attempt)));
            Ok(owned)
        };
        let unknown = self.inner.connections.read(read).await?;
        if unknown.is_empty() {
            return Ok(0);
        }
        self.inner
            .connections
            .write("free_unknown", Sync::Later, move |write| {
                free(write, &unknown, Loss::LostTrack, &given_up, now)
            })
            .await
    }

    async fn retire(&self, host: HostId) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .connections
            .write("retire", Sync::Later, move |write| {
                let last_seen = list(write)?.into_iter().find(|row| row.id == host);
                if let Some(row) = last_seen {
                    let abandoned = owned(write, host)?;
                    free(write, &abandoned, Loss::HostStopped, &HashSet::new(), row.heartbeat_at)?;
                    forget(write, &[host])?;
                }
                inner.liveness.end(host);
                Ok(())
            })
            .await
    }

    async fn hosts(&self) -> Result<Vec<HostRow>> {
        self.inner.connections.read(list).await
    }

    async fn live_hosts(&self, now: Timestamp, lease_timeout: Duration) -> Result<Vec<HostRow>> {
        let oldest = now.minus(lease_timeout);
        let mut hosts = self.hosts().await?;
        hosts.retain(|host| host.heartbeat_at >= oldest && !self.inner.liveness.is_dead(host.id));
        Ok(hosts)
    }
}

impl SqliteStore {
    /// Looked at without the write lock: nearly always there is nothing to do.
    async fn may_take_over(&self, alive: RangeInclusive<Timestamp>) -> Result<bool> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .connections
            .read(move |connection| {
                let hosts = list(connection)?;
                Ok(hosts.iter().any(|host| inner.is_gone(host, &alive))
                    || ORPHANS.call().optional(connection)?.is_some())
            })
            .await
    }
}

impl Inner {
    fn is_gone(&self, host: &HostRow, alive: &RangeInclusive<Timestamp>) -> bool {
        !alive.contains(&host.heartbeat_at) || self.liveness.is_dead(host.id)
    }
}

fn list(connection: &Connection) -> Result<Vec<HostRow>> {
    Ok(entered(&LIST_HOSTS.call().all(connection)?))
}

/// Removes hosts, and frees what is owned by none that is entered.
fn remove(connection: &Connection, gone: &[HostId], now: Timestamp) -> Result<usize> {
    forget(connection, gone)?;
    let orphans = ORPHANS.call().all(connection)?;
    let orphans = running(&orphans);
    free(connection, &orphans, Loss::HostGone, &HashSet::new(), now)
}

/// Removes hosts.
fn forget(connection: &Connection, gone: &[HostId]) -> Result<()> {
    DELETE_HOSTS.call().bind(rows_as_json(gone)).execute(connection)?;
    DELETE_LOAD_ERRORS.call().bind(rows_as_json(gone)).execute(connection)?;
    Ok(())
}

fn owned(connection: &Connection, host: HostId) -> Result<Vec<Running>> {
    Ok(running(&OWNED_DELIVERIES.call().bind(host.to_string()).all(connection)?))
}

/// Frees these, as far as they are still owned as they were found.
fn free(
    connection: &Connection,
    found: &[Running],
    loss: Loss,
    given_up: &HashSet<(DeliveryId, u32)>,
    now: Timestamp,
) -> Result<usize> {
    if found.is_empty() {
        return Ok(0);
    }
    let rows: Vec<_> = found
        .iter()
        .map(|running| {
            let (Losses { uncharged, in_a_row, alone }, message) = running.lost(loss, given_up);
            let Running { id, owner, attempt, is_marked, .. } = running;
            (id, owner, attempt, is_marked, uncharged, in_a_row, alone, message)
        })
        .collect();
    let rows = rows_as_json(&rows);
    LOG_LOST.call().bind(&rows).bind_time(now).bind(loss.code()).execute(connection)?;
    FREE_DELIVERIES.call().bind(rows).execute(connection)
}
