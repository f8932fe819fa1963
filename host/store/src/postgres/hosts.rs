//! Which hosts live, and what becomes of the work of those that do not.

use std::{collections::HashSet, time::Duration};

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore, completion,
    connection::Sync,
    locks,
    session::Session,
    statement::{Record, statements},
    time::At,
    watch,
};
use crate::{HostId, HostRow, Hosts, Result, TakenOver, hosts::Loss, row::Row as _};

statements! {
    DATABASE_TIME = "-- database_time
SELECT clock_timestamp()";
    REGISTER_HOST = "-- register_host
INSERT INTO observer_hosts (id, name, started_at, heartbeat_at) VALUES ($1, $2, $3, $3)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, heartbeat_at = excluded.heartbeat_at";
    HEARTBEAT = "-- heartbeat
UPDATE observer_hosts SET heartbeat_at = $2 WHERE id = $1";
    LIST_HOSTS = "-- list_hosts
SELECT id, name, started_at, heartbeat_at FROM observer_hosts ORDER BY started_at, id";
    /// Looked at without a transaction: nearly always there is nothing to do. A delivery whose owner is not entered is
    /// nobody's either: its host was removed while it took the delivery. Looked for between the hosts that are entered:
    /// of what those own, dead rows and all, nothing is read.
    MAY_TAKE_OVER = "-- may_take_over
WITH gap AS (
    SELECT lag(id) OVER (ORDER BY id) AS above, id AS below FROM observer_hosts
    UNION ALL SELECT max(id::text)::uuid, NULL FROM observer_hosts
)
SELECT EXISTS (SELECT 1 FROM observer_hosts WHERE heartbeat_at < $1)
    OR EXISTS (SELECT 1 FROM gap CROSS JOIN LATERAL (
        SELECT 1 FROM observer_deliveries
        WHERE state = 'running' AND owner > coalesce(above, '00000000-0000-0000-0000-000000000000')
          AND owner < coalesce(below, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        LIMIT 1) AS d)";
    /// A heartbeat that comes meanwhile is waited for, and keeps its host.
    REMOVE_SILENT_HOSTS = "-- remove_silent_hosts
DELETE FROM observer_hosts WHERE heartbeat_at < $1 RETURNING id";
    REMOVE_HOST = "-- remove_host
DELETE FROM observer_hosts WHERE id = $1";
    DELETE_LOAD_ERRORS = "-- delete_load_errors_of_hosts
DELETE FROM observer_load_errors WHERE host NOT IN (SELECT id FROM observer_hosts)";
    ORPHANS = "-- orphans
SELECT id, owner, attempts FROM observer_deliveries AS d
WHERE d.state = 'running' AND NOT EXISTS (SELECT 1 FROM observer_hosts AS h WHERE h.id = d.owner)";
    OWNED_DELIVERIES = "-- owned_deliveries
SELECT id, owner, attempts FROM observer_deliveries WHERE state = 'running' AND owner = $1";
    /// Only those that are still as they were found: meanwhile another host may have freed one, and a third, which
    /// entered after this statement began, may run it. The attempt that is lost may have done its work or not: that
    /// is on record, like every other attempt.
    FREE_DELIVERIES = "-- free_deliveries
WITH freed AS (
    UPDATE observer_deliveries AS d
    SET state = 'ready', owner = NULL, last_error = $6
    FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS o (id, owner, attempts)
    WHERE d.id = ANY ($1) AND d.id = o.id AND d.state = 'running' AND d.owner = o.owner AND d.attempts = o.attempts
    RETURNING d.*
)
INSERT INTO tb_observer_log
    (delivery_id, event_id, observer, action, action_type, attempt, max_attempts, status, code, message, started_at,
     duration_us)
SELECT id, event_id, observer, action, action_type, attempts, max_attempts, 'lost', $5, $6, $4, 0
FROM freed";
}

#[async_trait]
impl Hosts for PostgresStore {
    async fn database_time(&self) -> Result<Option<Timestamp>> {
        let mut session = self.inner.connections.read().await?;
        let At(now) = DATABASE_TIME.call().value(&mut session).await?;
        Ok(Some(now))
    }

    async fn register(&self, host: HostId, name: &str, now: Timestamp) -> Result<()> {
        let connections = &self.inner.connections;
        connections
            .write("register", Sync::Later, |session| Box::pin(register(session, host, name, now)))
            .await
    }

    async fn heartbeat(&self, host: HostId, now: Timestamp) -> Result<bool> {
        let connections = &self.inner.connections;
        connections.write("heartbeat", Sync::Later, |session| Box::pin(heartbeat(session, host, now))).await
    }

    async fn take_over(&self, now: Timestamp, lease_timeout: Duration) -> Result<TakenOver> {
        let connections = &self.inner.connections;
        let oldest = now.minus(lease_timeout);
        let mut session = connections.read().await?;
        let may: bool = MAY_TAKE_OVER.call().bind_time(oldest).value(&mut session).await?;
        drop(session);
        if !may {
            return Ok(TakenOver::default());
        }
        connections.write("take_over", Sync::Later, |session| Box::pin(take_over(session, oldest, now))).await
    }

    async fn free_unknown(
        &self,
        host: HostId,
        known: HashSet<(DeliveryId, u32)>,
        now: Timestamp,
    ) -> Result<usize> {
        let connections = &self.inner.connections;
        let mut session = connections.read().await?;
        let owned = OWNED_DELIVERIES.call().bind(host.0).all(&mut session).await?;
        drop(session);
        let mut unknown = Vec::new();
        for record in owned {
            if !known.contains(&(DeliveryId(record.get("id")?), record.count("attempts")?)) {
                unknown.push(record);
            }
        }
        if unknown.is_empty() {
            return Ok(0);
        }
        let unknown = &unknown;
        connections
            .write("free_unknown", Sync::Later, |session| {
                Box::pin(free(session, unknown, Loss::UNKNOWN, now))
            })
            .await
    }

    async fn retire(&self, host: HostId) -> Result<()> {
        let connections = &self.inner.connections;
        connections.write("retire", Sync::Later, |session| Box::pin(retire(session, host))).await
    }

    async fn hosts(&self) -> Result<Vec<HostRow>> {
        let mut session = self.inner.connections.read().await?;
        list(&mut session).await
    }
}

async fn register(session: &mut Session<'_>, host: HostId, name: &str, now: Timestamp) -> Result<()> {
    REGISTER_HOST.call().bind(host.0).bind(name).bind_time(now).execute(session).await?;
    Ok(())
}

async fn heartbeat(session: &mut Session<'_>, host: HostId, now: Timestamp) -> Result<bool> {
    Ok(HEARTBEAT.call().bind(host.0).bind_time(now).execute(session).await? == 1)
}

async fn take_over(session: &mut Session<'_>, oldest: Timestamp, now: Timestamp) -> Result<TakenOver> {
    let gone = REMOVE_SILENT_HOSTS.call().bind_time(oldest).all(session).await?;
    let hosts = gone.iter().map(|record| Ok(HostId(record.get("id")?))).collect::<Result<_>>()?;
    Ok(TakenOver { hosts, deliveries: free_orphans(session, now).await? })
}

async fn retire(session: &mut Session<'_>, host: HostId) -> Result<()> {
    let last_seen = list(session).await?.into_iter().find(|row| row.id == host);
    if let Some(row) = last_seen {
        watch::leave(session, host).await?;
        REMOVE_HOST.call().bind(host.0).execute(session).await?;
        free_orphans(session, row.heartbeat_at).await?;
    }
    Ok(())
}

/// Frees what is owned by none that is entered.
async fn free_orphans(session: &mut Session<'_>, now: Timestamp) -> Result<usize> {
    DELETE_LOAD_ERRORS.call().execute(session).await?;
    let orphans = ORPHANS.call().all(session).await?;
    if orphans.is_empty() {
        return Ok(0);
    }
    free(session, &orphans, Loss::HOST_GONE, now).await
}

/// Frees these, as far as they are still owned as they were found.
async fn free(session: &mut Session<'_>, found: &[Record], loss: Loss, now: Timestamp) -> Result<usize> {
    let ids = found.iter().map(|record| record.get("id")).collect::<Result<Vec<Uuid>>>()?;
    let owners = found.iter().map(|record| record.get("owner")).collect::<Result<Vec<Uuid>>>()?;
    let attempts = found.iter().map(|record| record.get("attempts")).collect::<Result<Vec<i32>>>()?;
    locks::keys_of(session, &ids).await?;
    completion::join_by_hash(session).await?;
    let call = FREE_DELIVERIES.call().bind(ids).bind(owners).bind(attempts).bind_time(now);
    call.bind(loss.code).bind(loss.message).execute(session).await
}

async fn list(session: &mut Session<'_>) -> Result<Vec<HostRow>> {
    LIST_HOSTS.call().all(session).await?.iter().map(HostRow::read).collect()
}
