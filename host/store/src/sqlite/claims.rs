//! Running deliveries: claimed and handed back. `completion` ends them.

use std::sync::Arc;

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore, completion,
    connection::Sync,
    event_row, intake,
    statement::{Record, rows_as_json, statements},
};
use crate::{
    ClaimedDelivery, Claims, Completion, CompletionReport, HostId, Lane, Result, holds::lanes_to_json,
    intake_batch::Rejected, row::Row as _,
};

/// What a claim reads of each candidate. Partial indexes ask for their own conditions, word for word.
macro_rules! candidates {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "
SELECT d.id, d.event_seq, d.observer, d.action, d.action_type, d.attempts, d.attempts_before,
       e.id AS event_id, e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data, e.old, e.changed,
       e.tenant_id, e.actor, e.traceparent
FROM observer_deliveries AS d LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE ",
            $rest
        )
    };
}

/// The same, when some lanes are passed over. Steps from lane to lane through the index instead of reading what lies in
/// them, drops those that are passed over, and takes the first of each of the others.
macro_rules! candidates_by_lane {
    ($name:literal, $state:literal, $due:literal, $order:literal) => {
        concat!(
            "-- ",
            $name,
            "
WITH RECURSIVE lane (observer, action) AS (
    SELECT * FROM (SELECT observer, action FROM observer_deliveries WHERE ",
            $state,
            " ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM lane CROSS JOIN observer_deliveries AS next ON next.id = coalesce(
        (SELECT id FROM observer_deliveries WHERE ",
            $state,
            " AND observer = lane.observer AND action > lane.action ORDER BY action LIMIT 1),
        (SELECT id FROM observer_deliveries WHERE ",
            $state,
            " AND observer > lane.observer ORDER BY observer, action LIMIT 1))
)
SELECT d.id, d.event_seq, d.observer, d.action, d.action_type, d.attempts, d.attempts_before,
       e.id AS event_id, e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data, e.old, e.changed,
       e.tenant_id, e.actor, e.traceparent
FROM lane
     CROSS JOIN observer_deliveries AS d ON d.id IN (
         SELECT id FROM observer_deliveries WHERE ",
            $state,
            $due,
            " AND observer = lane.observer AND action = lane.action ORDER BY ",
            $order,
            " LIMIT ?1)
     LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE (lane.observer, lane.action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))
ORDER BY ",
            $order,
            " LIMIT ?1"
        )
    };
}

statements! {
    /// What is claimable, looked at without the write lock.
    HAS_WORK = "-- has_work
SELECT EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND blocked = 0 AND paused = 0)
    OR EXISTS (SELECT 1 FROM observer_deliveries
               WHERE state = 'waiting' AND blocked = 0 AND paused = 0 AND next_attempt_at <= ?1)";
    CLAIM_DUE = candidates!("claim_due",
        "d.state = 'waiting' AND d.blocked = 0 AND d.paused = 0 AND d.next_attempt_at <= ?2
ORDER BY d.next_attempt_at LIMIT ?1");
    CLAIM_READY = candidates!("claim_ready",
        "d.state = 'ready' AND d.blocked = 0 AND d.paused = 0
ORDER BY d.priority DESC, d.event_seq, d.position LIMIT ?1");
    CLAIM_DUE_BY_LANE = candidates_by_lane!("claim_due_by_lane",
        "state = 'waiting' AND blocked = 0 AND paused = 0",
        " AND next_attempt_at <= ?3",
        "next_attempt_at");
    CLAIM_READY_BY_LANE = candidates_by_lane!("claim_ready_by_lane",
        "state = 'ready' AND blocked = 0 AND paused = 0",
        "",
        "priority DESC, event_seq, position");
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
    /// Steps from lane to lane as `claim_ready_by_lane` does; of each it reads the first.
    NEXT_DUE_BY_LANE = "-- next_due_by_lane
WITH RECURSIVE ready (observer, action) AS (
    SELECT * FROM (SELECT observer, action FROM observer_deliveries
                   WHERE state = 'ready' AND blocked = 0 AND paused = 0 ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM ready CROSS JOIN observer_deliveries AS next ON next.id = coalesce(
        (SELECT id FROM observer_deliveries WHERE state = 'ready' AND blocked = 0 AND paused = 0
             AND observer = ready.observer AND action > ready.action ORDER BY action LIMIT 1),
        (SELECT id FROM observer_deliveries WHERE state = 'ready' AND blocked = 0 AND paused = 0
             AND observer > ready.observer ORDER BY observer, action LIMIT 1))
), waiting (observer, action) AS (
    SELECT * FROM (SELECT observer, action FROM observer_deliveries
                   WHERE state = 'waiting' AND blocked = 0 AND paused = 0 ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM waiting CROSS JOIN observer_deliveries AS next ON next.id = coalesce(
        (SELECT id FROM observer_deliveries WHERE state = 'waiting' AND blocked = 0 AND paused = 0
             AND observer = waiting.observer AND action > waiting.action ORDER BY action LIMIT 1),
        (SELECT id FROM observer_deliveries WHERE state = 'waiting' AND blocked = 0 AND paused = 0
             AND observer > waiting.observer ORDER BY observer, action LIMIT 1))
)
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM ready
                 WHERE (observer, action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1)))
    THEN '1970-01-01T00:00:00.000000Z'
    ELSE (SELECT min((SELECT next_attempt_at FROM observer_deliveries AS d
                      WHERE d.state = 'waiting' AND d.blocked = 0 AND d.paused = 0 AND d.observer = waiting.observer
                        AND d.action = waiting.action
                      ORDER BY d.next_attempt_at LIMIT 1))
          FROM waiting
          WHERE (observer, action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1)))
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
        let except = except.to_vec();
        self.inner
            .connections
            .write("claim", Sync::Later, move |write| {
                let candidates = candidates(write, limit, &except, now)?;
                let mut claimed = Vec::with_capacity(candidates.len());
                let mut rejected = Vec::new();
                for candidate in &candidates {
                    match read_candidate(candidate)? {
                        Ok(delivery) => claimed.push(delivery),
                        Err(reason) => rejected.push((candidate, reason)),
                    }
                }
                set_aside(write, rejected, now)?;
                let ids: Vec<_> = claimed.iter().map(|delivery| delivery.id).collect();
                OWN_DELIVERIES.call().bind(rows_as_json(&ids)).bind(host.to_string()).execute(write)?;
                Ok(claimed)
            })
            .await
    }

    async fn next_due(&self, except: &[Lane]) -> Result<Option<Timestamp>> {
        let call = if except.is_empty() {
            NEXT_DUE.call()
        } else {
            NEXT_DUE_BY_LANE.call().bind(lanes_to_json(except))
        };
        self.inner
            .connections
            .read(move |connection| {
                let due = call.optional(connection)?;
                due.map_or(Ok(None), |record| record.optional_time("due"))
            })
            .await
    }

    async fn complete(&self, host: HostId, completions: Vec<Completion>) -> Result<CompletionReport> {
        if completions.is_empty() {
            return Ok(CompletionReport::default());
        }
        self.inner
            .connections
            .write("complete", Sync::Later, move |write| completion::complete(write, host, completions))
            .await
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
        self.inner
            .connections
            .write("release", Sync::Later, move |write| {
                RELEASE_DELIVERIES
                    .call()
                    .bind(rows_as_json(&deliveries))
                    .bind(host.to_string())
                    .bind(not_before.map(|at| at.to_string()))
                    .execute(write)
            })
            .await
    }
}

impl SqliteStore {
    async fn has_work(&self, now: Timestamp) -> Result<bool> {
        self.inner.connections.read(move |connection| HAS_WORK.call().bind_time(now).value(connection)).await
    }
}

/// What is to be claimed, in order: what is due, then what is ready.
fn candidates(connection: &Connection, limit: usize, except: &[Lane], now: Timestamp) -> Result<Vec<Record>> {
    let lanes = lanes_to_json(except);
    let due = if except.is_empty() {
        CLAIM_DUE.call().bind_limit(limit).bind_time(now)
    } else {
        CLAIM_DUE_BY_LANE.call().bind_limit(limit).bind(&lanes).bind_time(now)
    };
    let mut candidates = due.all(connection)?;
    let left = limit - candidates.len();
    if left > 0 {
        let ready = if except.is_empty() {
            CLAIM_READY.call().bind_limit(left)
        } else {
            CLAIM_READY_BY_LANE.call().bind_limit(left).bind(&lanes)
        };
        candidates.extend(ready.all(connection)?);
    }
    Ok(candidates)
}

/// The inner error is an event that can not be read any more.
fn read_candidate(record: &Record) -> Result<std::result::Result<ClaimedDelivery, Rejected>> {
    let (id, attempts) = (DeliveryId(record.uuid("id")?), record.count("attempts")?);
    let attempts_before = record.count("attempts_before")?;
    let [observer, action, action_type] = ["observer", "action", "action_type"].map(|name| record.text(name));
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
fn set_aside(connection: &Connection, rejected: Vec<(&Record, Rejected)>, now: Timestamp) -> Result<()> {
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
    intake::quarantine(connection, &rows, now)?;
    DELETE_DELIVERIES.call().bind(rows_as_json(&ids)).execute(connection)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::{params_from_iter, types::Null};

    use super::{super::statement::Statement, *};
    use crate::{Schema as _, SqliteOptions};

    /// However much is live, a claim reads what it claims: through the index made for it, without sorting a backlog.
    #[tokio::test]
    async fn claims_read_their_own_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/test.db", folder.path().display());
        let options = SqliteOptions { create: true, ..SqliteOptions::default() };
        let store = SqliteStore::open(&url, options).await.unwrap();
        store.migrate().await.unwrap();
        for (statement, steps) in [
            (CLAIM_DUE, &["USING INDEX observer_deliveries_due (next_attempt_at<?)"][..]),
            (CLAIM_READY, &["USING INDEX observer_deliveries_ready\n"]),
            (
                CLAIM_DUE_BY_LANE,
                &[
                    "USING INDEX observer_deliveries_due_by_lane (observer=? AND action>?)",
                    "USING INDEX observer_deliveries_due_by_lane (observer>?)",
                    "USING INDEX observer_deliveries_due_by_lane (observer=? AND action=? AND next_attempt_at<?)",
                ],
            ),
            (
                CLAIM_READY_BY_LANE,
                &[
                    "USING INDEX observer_deliveries_ready_by_lane (observer=? AND action>?)",
                    "USING INDEX observer_deliveries_ready_by_lane (observer>?)",
                    "USING INDEX observer_deliveries_ready_by_lane (observer=? AND action=?)",
                ],
            ),
            (
                NEXT_DUE_BY_LANE,
                &[
                    "USING INDEX observer_deliveries_ready_by_lane (observer=? AND action>?)",
                    "USING INDEX observer_deliveries_ready_by_lane (observer>?)",
                    "USING INDEX observer_deliveries_due_by_lane (observer=? AND action>?)",
                    "USING INDEX observer_deliveries_due_by_lane (observer>?)",
                    "USING INDEX observer_deliveries_due_by_lane (observer=? AND action=?)",
                ],
            ),
        ] {
            let explained =
                store.inner.connections.read(move |connection| Ok(plan_of(connection, statement)));
            let plan = explained.await.unwrap();
            for step in steps {
                assert!(
                    plan.replace("COVERING ", "").contains(step),
                    "{}: no `{step}` in\n{plan}",
                    statement.name()
                );
            }
            let scans = plan.matches("SCAN observer_deliveries\n").count();
            assert_eq!(scans, 0, "{} reads the whole table:\n{plan}", statement.name());
        }
    }

    fn plan_of(connection: &Connection, statement: Statement) -> String {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql())).unwrap();
        let parameters = explain.parameter_count();
        let rows =
            explain.query_map(params_from_iter(vec![Null; parameters]), |row| row.get::<_, String>("detail"));
        rows.unwrap().map(|detail| detail.unwrap() + "\n").collect()
    }
}
