//! Running deliveries: claimed and handed back. `completion` ends them.

use std::sync::Arc;

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{
    SqliteStore, completion,
    connection::Sync,
    event_row::{self, Rejected},
    intake,
    statement::{Record, rows_as_json, statements},
};
use crate::{ClaimedDelivery, Claims, Completion, CompletionReport, HostId, Lane, Result};

/// The columns of a candidate, in both ways to find one.
macro_rules! candidate {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "
SELECT d.id, d.event_seq, d.observer, d.action, d.action_type, d.attempts, d.attempts_before,
       e.id AS event_id, e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data, e.old, e.changed,
       e.tenant_id, e.actor, e.traceparent
FROM observer_deliveries AS d LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE d.blocked = 0 AND d.paused = 0
  AND (d.observer, d.action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))
  AND ",
            $rest
        )
    };
}

statements! {
    /// What is claimable, looked at without the write lock.
    HAS_WORK = "-- has_work
SELECT EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND blocked = 0 AND paused = 0)
    OR EXISTS (SELECT 1 FROM observer_deliveries
               WHERE state = 'waiting' AND blocked = 0 AND paused = 0 AND next_attempt_at <= ?1)";
    CLAIM_DUE = candidate!("claim_due", "d.state = 'waiting' AND d.next_attempt_at <= ?3
ORDER BY d.next_attempt_at LIMIT ?1");
    CLAIM_READY = candidate!("claim_ready", "d.state = 'ready'
ORDER BY d.priority DESC, d.event_seq, d.position LIMIT ?1");
    OWN_DELIVERIES = "-- own_deliveries
UPDATE observer_deliveries
SET state = 'running', owner = ?2, attempts = attempts + 1, next_attempt_at = NULL
WHERE id IN (SELECT value FROM json_each(?1))";
    DELETE_DELIVERIES = "-- delete_deliveries
DELETE FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
    NEXT_DUE = "-- next_due
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND blocked = 0 AND paused = 0)
    THEN '1970-01-01T00:00:00.000000Z'
    ELSE (SELECT min(next_attempt_at) FROM observer_deliveries
          WHERE state = 'waiting' AND blocked = 0 AND paused = 0)
    END AS due";
    RELEASE_DELIVERIES = "-- release_deliveries
UPDATE observer_deliveries
SET state = iif(?3 IS NULL, 'ready', 'waiting'), next_attempt_at = ?3, owner = NULL, attempts = attempts - 1
WHERE state = 'running' AND owner = ?2
  AND (id, attempts) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))";
}

#[async_trait]
impl Claims for SqliteStore {
    async fn claim(
        &self,
        host: HostId,
        limit: usize,
        except: &[Lane],
        now: Timestamp,
    ) -> Result<Vec<ClaimedDelivery>> {
        if limit == 0 || !self.has_work(now).await? {
            return Ok(Vec::new());
        }
        let mut write = self.inner.connections.write("claim", Sync::Later).await?;
        let except: Vec<_> = except.iter().map(|lane| (&*lane.observer, &*lane.action)).collect();
        let except = rows_as_json(&except);
        let mut candidates =
            CLAIM_DUE.call().bind_limit(limit).bind(&except).bind_time(now).all(&mut write).await?;
        let left = limit - candidates.len();
        if left > 0 {
            candidates.extend(CLAIM_READY.call().bind_limit(left).bind(&except).all(&mut write).await?);
        }
        let mut claimed = Vec::with_capacity(candidates.len());
        let mut rejected = Vec::new();
        for candidate in &candidates {
            match read_candidate(candidate)? {
                Ok(delivery) => claimed.push(delivery),
                Err(reason) => rejected.push((candidate, reason)),
            }
        }
        set_aside(&mut write, rejected, now).await?;
        let ids: Vec<_> = claimed.iter().map(|delivery| delivery.id).collect();
        OWN_DELIVERIES.call().bind(rows_as_json(&ids)).bind(host.to_string()).execute(&mut write).await?;
        write.commit().await?;
        Ok(claimed)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let mut connection = self.inner.connections.read().await?;
        let due = NEXT_DUE.call().optional(&mut connection).await?;
        due.map_or(Ok(None), |record| record.parse_optional("due"))
    }

    async fn complete(&self, host: HostId, completions: Vec<Completion>) -> Result<CompletionReport> {
        if completions.is_empty() {
            return Ok(CompletionReport::default());
        }
        let mut write = self.inner.connections.write("complete", Sync::Later).await?;
        let report = completion::complete(&mut write, host, completions).await?;
        write.commit().await?;
        Ok(report)
    }

    async fn release(
        &self,
        host: HostId,
        deliveries: Vec<(DeliveryId, u32)>,
        not_before: Option<Timestamp>,
    ) -> Result<usize> {
        if deliveries.is_empty() {
            return Ok(0);
        }
        let mut write = self.inner.connections.write("release", Sync::Later).await?;
        let released = RELEASE_DELIVERIES
            .call()
            .bind(rows_as_json(&deliveries))
            .bind(host.to_string())
            .bind(not_before.map(|at| at.to_string()))
            .execute(&mut write)
            .await?;
        write.commit().await?;
        Ok(released)
    }
}

impl SqliteStore {
    async fn has_work(&self, now: Timestamp) -> Result<bool> {
        let mut connection = self.inner.connections.read().await?;
        HAS_WORK.call().bind_time(now).value(&mut connection).await
    }
}

/// The inner error is an event that can not be read any more.
fn read_candidate(record: &Record) -> Result<std::result::Result<ClaimedDelivery, Rejected>> {
    let attempts: u32 = record.get("attempts")?;
    let (id, attempts_before) = (DeliveryId(record.parse("id")?), record.get("attempts_before")?);
    let [observer, action, action_type] =
        ["observer", "action", "action_type"].map(|name| record.get::<&str>(name));
    let (observer, action, action_type) = (observer?.into(), action?.into(), action_type?.into());
    Ok(event_row::read(record)?.map(|event| ClaimedDelivery {
        id,
        event: Arc::new(event),
        observer,
        action,
        action_type,
        attempt: attempts + 1,
        attempts_before,
    }))
}

/// Someone changed or deleted events that have live deliveries: nothing can deliver them, so they go where a person
/// looks, and do not stand in the way of others.
async fn set_aside(
    connection: &mut SqliteConnection,
    rejected: Vec<(&Record, Rejected)>,
    now: Timestamp,
) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    let mut rows = Vec::new();
    for (record, mut row) in rejected {
        let observer: &str = record.get("observer")?;
        row.reason =
            format!("the event of a delivery to `{observer}` was changed or deleted: {}", row.reason);
        tracing::error!(observer, event_id = row.event_id, reason = row.reason, "a delivery is put aside");
        ids.push(record.get::<&str>("id")?);
        rows.push((record.get("event_seq")?, row));
    }
    intake::quarantine(connection, &rows, now).await?;
    DELETE_DELIVERIES.call().bind(rows_as_json(&ids)).execute(connection).await?;
    Ok(())
}
