//! Which hosts live, and what becomes of the work of those that do not.

use std::{collections::HashSet, ops::RangeInclusive, time::Duration};

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;

use super::{
    PostgresStore, completion,
    connection::Sync,
    locks,
    session::Session,
    statement::{int, statements},
    time::At,
    watch,
};
use crate::{
    HostId, HostRow, Hosts, Result, TakenOver,
    hosts::{Loss, Running, entered, running},
};

statements! {
    DATABASE_TIME = "-- database_time
SELECT clock_timestamp()";
    REGISTER_HOST = "-- register_host
INSERT INTO observer_hosts (id, name, started_at, heartbeat_at) VALUES ($1, $2, $3, $3)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, heartbeat_at = excluded.heartbeat_at";
    HEARTBEAT = "-- heartbeat
UPDATE observer_hosts SET heartbeat_at = $2 WHERE id = $1";
    LIST_HOSTS = "-- list_hosts
SELECT id, name, started_at, heartbeat_at, revision FROM observer_hosts ORDER BY started_at, id";
    /// Looked at without a transaction: nearly always there is nothing to do. A delivery whose owner is not entered is
    /// nobody's either: its host was removed while it took the delivery. Looked for between the hosts that are entered:
    /// of what those own, dead rows and all, nothing is read.
    MAY_TAKE_OVER = "-- may_take_over
WITH gap AS (
    SELECT lag(id) OVER (ORDER BY id) AS above, id AS below FROM observer_hosts
    UNION ALL SELECT max(id::text)::uuid, NULL FROM observer_hosts
)
SELECT EXISTS (SELECT 1 FROM observer_hosts WHERE heartbeat_at < $1 OR heartbeat_at > $2)
    OR EXISTS (SELECT 1 FROM gap CROSS JOIN LATERAL (
        SELECT 1 FROM observer_deliveries
        WHERE state = 'running' AND owner > coalesce(above, '00000000-0000-0000-0000-000000000000')
          AND owner < coalesce(below, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        LIMIT 1) AS d)";
    /// A heartbeat that comes meanwhile is waited for, and keeps its host.
    REMOVE_SILENT_HOSTS = "-- remove_silent_hosts
DELETE FROM observer_hosts WHERE heartbeat_at < $1 OR heartbeat_at > $2 RETURNING id";
    REMOVE_HOST = "-- remove_host
DELETE FROM observer_hosts WHERE id = $1";
    DELETE_LOAD_ERRORS = "-- delete_load_errors_of_hosts
DELETE FROM observer_load_errors WHERE host NOT IN (SELECT id FROM observer_hosts)";
    ORPHANS = "-- orphans
SELECT id, owner, attempts, begun, uncharged, losses, lone_losses FROM observer_deliveries AS d
WHERE d.state = 'running' AND NOT EXISTS (SELECT 1 FROM observer_hosts AS h WHERE h.id = d.owner)";
    OWNED_DELIVERIES = "-- owned_deliveries
SELECT id, owner, attempts, begun, uncharged, losses, lone_losses FROM observer_deliveries
WHERE state = 'running' AND owner = $1";
    /// Only those that are still as they were found: meanwhile another host may have freed one, and a third, which
    /// entered after this statement began, may run it. The attempt that is lost may have done its work or not: that
    /// is on record, like every other attempt.
    FREE_DELIVERIES = "-- free_deliveries
WITH freed AS (
    UPDATE observer_deliveries AS d
    SET state = 'ready', owner = NULL, begun = false, uncharged = o.uncharged, losses = o.losses,
        lone_losses = o.lone_losses, last_error = o.message
    FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::boolean[], $5::integer[], $6::integer[], $7::integer[], $8::text[])
        AS o (id, owner, attempts, begun, uncharged, losses, lone_losses, message)
    WHERE d.id = ANY ($1) AND d.id = o.id AND d.state = 'running' AND d.owner = o.owner AND d.attempts = o.attempts
      AND d.begun = o.begun
    RETURNING d.*
)
INSERT INTO tb_observer_log
    (delivery_id, event_id, observer, action, action_type, attempt, max_attempts, status, code, message, started_at,
     duration_us)
SELECT id, event_id, observer, action, action_type, attempts, max_attempts, 'lost', $9, last_error, $10, 0
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

    async fn take_over(&self, now: Timestamp, alive: RangeInclusive<Timestamp>) -> Result<TakenOver> {
        let connections = &self.inner.connections;
        let alive = &alive;
        let mut session = connections.read().await?;
        let may: bool = MAY_TAKE_OVER
            .call()
            .bind_time(*alive.start())
            .bind_time(*alive.end())
            .value(&mut session)
            .await?;
        drop(session);
        if !may {
            return Ok(TakenOver::default());
        }
        connections.write("take_over", Sync::Later, |session| Box::pin(take_over(session, alive, now))).await
    }

    async fn free_unknown(
        &self,
        host: HostId,
        known: HashSet<(DeliveryId, u32)>,
        given_up: HashSet<(DeliveryId, u32)>,
        now: Timestamp,
    ) -> Result<usize> {
        let connections = &self.inner.connections;
        let mut session = connections.read().await?;
        let mut unknown = owned(&mut session, host).await?;
        drop(session);
        unknown.retain(|running| !known.contains(&(running.id, running.attempt)));
        if unknown.is_empty() {
            return Ok(0);
        }
        let (unknown, given_up) = (&unknown, &given_up);
        connections
            .write("free_unknown", Sync::Later, |session| {
                Box::pin(free(session, unknown, Loss::LostTrack, given_up, now))
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

    async fn live_hosts(&self, now: Timestamp, lease_timeout: Duration) -> Result<Vec<HostRow>> {
        let oldest = now.minus(lease_timeout);
        let mut hosts = self.hosts().await?;
        hosts.retain(|host| host.heartbeat_at >= oldest);
        Ok(hosts)
    }
}

async fn register(session: &mut Session<'_>, host: HostId, name: &str, now: Timestamp) -> Result<()> {
    REGISTER_HOST.call().bind(host.0).bind(name).bind_time(now).execute(session).await?;
    Ok(())
}

async fn heartbeat(session: &mut Session<'_>, host: HostId, now: Timestamp) -> Result<bool> {
    Ok(HEARTBEAT.call().bind(host.0).bind_time(now).execute(session).await? == 1)
}

async fn take_over(
    session: &mut Session<'_>,
    alive: &RangeInclusive<Timestamp>,
    now: Timestamp,
) -> Result<TakenOver> {
    let gone =
        REMOVE_SILENT_HOSTS.call().bind_time(*alive.start()).bind_time(*alive.end()).all(session).await?;
    let hosts = gone.iter().map(|record| Ok(HostId(record.get("id")?))).collect::<Result<_>>()?;
    Ok(TakenOver { hosts, deliveries: free_orphans(session, now).await? })
}

async fn retire(session: &mut Session<'_>, host: HostId) -> Result<()> {
    let last_seen = list(session).await?.into_iter().find(|row| row.id == host);
    if let Some(row) = last_seen {
        watch::leave(session, host).await?;
        let abandoned = owned(session, host).await?;
        free(session, &abandoned, Loss::HostStopped, &HashSet::new(), row.heartbeat_at).await?;
        REMOVE_HOST.call().bind(host.0).execute(session).await?;
        DELETE_LOAD_ERRORS.call().execute(session).await?;
    }
    Ok(())
}

/// Frees what is owned by none that is entered.
async fn free_orphans(session: &mut Session<'_>, now: Timestamp) -> Result<usize> {
    DELETE_LOAD_ERRORS.call().execute(session).await?;
    let orphans = ORPHANS.call().all(session).await?;
    let orphans = running(&orphans);
    free(session, &orphans, Loss::HostGone, &HashSet::new(), now).await
}

async fn owned(session: &mut Session<'_>, host: HostId) -> Result<Vec<Running>> {
    Ok(running(&OWNED_DELIVERIES.call().bind(host.0).all(session).await?))
}

/// Frees these, as far as they are still owned as they were found.
async fn free(
    session: &mut Session<'_>,
    found: &[Running],
    loss: Loss,
    given_up: &HashSet<(DeliveryId, u32)>,
    now: Timestamp,
) -> Result<usize> {
    if found.is_empty() {
        return Ok(0);
    }
    let ids: Vec<_> = found.iter().map(|running| running.id.0).collect();
    locks::keys_of(session, &ids).await?;
    completion::join_by_hash(session).await?;
    let (losses, messages): (Vec<_>, Vec<_>) =
        found.iter().map(|running| running.lost(loss, given_up)).unzip();
    FREE_DELIVERIES
        .call()
        .bind(ids)
        .bind(found.iter().map(|running| running.owner).collect::<Vec<_>>())
        .bind(found.iter().map(|running| int(running.attempt)).collect::<Vec<_>>())
        .bind(found.iter().map(|running| running.is_marked).collect::<Vec<_>>())
        .bind(losses.iter().map(|losses| int(losses.uncharged)).collect::<Vec<_>>())
        .bind(losses.iter().map(|losses| int(losses.in_a_row)).collect::<Vec<_>>())
        .bind(losses.iter().map(|losses| int(losses.alone)).collect::<Vec<_>>())
        .bind(messages)
        .bind(loss.code())
        .bind_time(now)
        .execute(session)
        .await
}

async fn list(session: &mut Session<'_>) -> Result<Vec<HostRow>> {
    Ok(entered(&LIST_HOSTS.call().all(session).await?))
}
