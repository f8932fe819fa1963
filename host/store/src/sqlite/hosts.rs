//! Which hosts live, and what becomes of the work of those that do not.

use std::time::Duration;

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    SqliteStore,
    connection::Sync,
    statement::{rows_as_json, statements},
};
use crate::{HostId, HostRow, Hosts, Result, TakenOver};

statements! {
    REGISTER_HOST = "-- register_host
INSERT INTO observer_hosts (id, name, started_at, heartbeat_at) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, heartbeat_at = excluded.heartbeat_at";
    HEARTBEAT = "-- heartbeat
UPDATE observer_hosts SET heartbeat_at = ?2 WHERE id = ?1";
    LIST_HOSTS = "-- list_hosts
SELECT id, name, started_at, heartbeat_at FROM observer_hosts ORDER BY started_at, id";
    DELETE_HOSTS = "-- delete_hosts
DELETE FROM observer_hosts WHERE id IN (SELECT value FROM json_each(?1))";
    DELETE_LOAD_ERRORS = "-- delete_load_errors_of_hosts
DELETE FROM observer_load_errors WHERE host IN (SELECT value FROM json_each(?1))";
    /// A delivery whose owner is not entered is nobody's either: its host was removed while it took the delivery.
    HAS_ORPHANS = "-- has_orphans
SELECT EXISTS (SELECT 1 FROM observer_deliveries
               WHERE state = 'running' AND owner NOT IN (SELECT id FROM observer_hosts))";
    /// The attempt may have done its work or not: that is on record, like every other attempt.
    LOG_LOST = "-- log_lost
INSERT INTO tb_observer_log
    (delivery_id, event_id, observer, action, action_type, attempt, max_attempts, status, class, code, message,
     started_at, duration_us)
SELECT d.id, e.id, d.observer, d.action, d.action_type, d.attempts, d.max_attempts, 'lost', NULL, 'host_gone',
       'its host ended before the attempt did', ?1, 0
FROM observer_deliveries AS d LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE d.state = 'running' AND d.owner NOT IN (SELECT id FROM observer_hosts)";
    FREE_DELIVERIES = "-- free_deliveries
UPDATE observer_deliveries
SET state = 'ready', owner = NULL, last_error = 'its host ended before the attempt did'
WHERE state = 'running' AND owner NOT IN (SELECT id FROM observer_hosts)";
}

#[async_trait]
impl Hosts for SqliteStore {
    async fn register(&self, host: HostId, name: &str, now: Timestamp) -> Result<()> {
        let mut write = self.inner.connections.write("register", Sync::Later).await?;
        REGISTER_HOST.call().bind(host.to_string()).bind(name).bind_time(now).execute(&mut write).await?;
        // Within the transaction: whoever removes signs of life does so within one, too.
        self.inner.liveness.show(host);
        let entered: Vec<_> = list(&mut write).await?.iter().map(|host| host.id).collect();
        self.inner.liveness.clean(&entered);
        write.commit().await
    }

    async fn heartbeat(&self, host: HostId, now: Timestamp) -> Result<bool> {
        let mut write = self.inner.connections.write("heartbeat", Sync::Later).await?;
        let renewed = HEARTBEAT.call().bind(host.to_string()).bind_time(now).execute(&mut write).await?;
        write.commit().await?;
        Ok(renewed == 1)
    }

    async fn take_over(&self, now: Timestamp, lease_timeout: Duration) -> Result<TakenOver> {
        if !self.may_take_over(now, lease_timeout).await? {
            return Ok(TakenOver::default());
        }
        let mut write = self.inner.connections.write("take_over", Sync::Later).await?;
        let entered = list(&mut write).await?;
        let gone: Vec<_> = entered
            .iter()
            .filter(|host| self.is_gone(host, now, lease_timeout))
            .map(|host| host.id)
            .collect();
        let deliveries = remove(&mut write, &gone, now).await?;
        let staying: Vec<_> =
            entered.iter().map(|host| host.id).filter(|host| !gone.contains(host)).collect();
        self.inner.liveness.clean(&staying);
        write.commit().await?;
        Ok(TakenOver { hosts: gone, deliveries })
    }

    async fn retire(&self, host: HostId) -> Result<()> {
        let mut write = self.inner.connections.write("retire", Sync::Later).await?;
        let last_seen = list(&mut write).await?.into_iter().find(|row| row.id == host);
        if let Some(row) = last_seen {
            remove(&mut write, &[host], row.heartbeat_at).await?;
        }
        self.inner.liveness.end(host);
        write.commit().await
    }

    async fn hosts(&self) -> Result<Vec<HostRow>> {
        let mut connection = self.inner.connections.read().await?;
        list(&mut connection).await
    }
}

impl SqliteStore {
    /// Looked at without the write lock: nearly always there is nothing to do.
    async fn may_take_over(&self, now: Timestamp, lease_timeout: Duration) -> Result<bool> {
        let mut connection = self.inner.connections.read().await?;
        let hosts = list(&mut connection).await?;
        Ok(hosts.iter().any(|host| self.is_gone(host, now, lease_timeout))
            || HAS_ORPHANS.call().value(&mut connection).await?)
    }

    fn is_gone(&self, host: &HostRow, now: Timestamp, lease_timeout: Duration) -> bool {
        host.heartbeat_at < now.minus(lease_timeout) || self.inner.liveness.is_dead(host.id)
    }
}

async fn list(connection: &mut SqliteConnection) -> Result<Vec<HostRow>> {
    LIST_HOSTS
        .call()
        .all(connection)
        .await?
        .iter()
        .map(|record| {
            Ok(HostRow {
                id: HostId(record.parse::<Uuid>("id")?),
                name: record.get("name")?,
                started_at: record.parse("started_at")?,
                heartbeat_at: record.parse("heartbeat_at")?,
            })
        })
        .collect()
}

/// Removes hosts, and frees what is owned by none that is entered.
async fn remove(connection: &mut SqliteConnection, gone: &[HostId], now: Timestamp) -> Result<usize> {
    DELETE_HOSTS.call().bind(rows_as_json(gone)).execute(connection).await?;
    DELETE_LOAD_ERRORS.call().bind(rows_as_json(gone)).execute(connection).await?;
    LOG_LOST.call().bind_time(now).execute(connection).await?;
    FREE_DELIVERIES.call().execute(connection).await
}
