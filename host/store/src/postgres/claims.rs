//! Running deliveries: claimed and handed back. `completion` ends them.

use std::sync::Arc;

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore, completion,
    connection::Sync,
    event_row, intake, locks,
    session::Session,
    statement::{Record, int, statements},
    time::At,
};
use crate::{
    ClaimedDelivery, Claims, Completion, CompletionReport, HostId, Lane, Result, intake_batch::Rejected,
    row::Row as _,
};

/// Claims the first of those in some state. Partial indexes ask for their own conditions, word for word. A row that
/// another transaction has locked is passed over; the condition is tested once more on what was locked. The rows are
/// updated by an array of their ids, so that the planner, which does not know the limit, never reads the whole table.
macro_rules! claim {
    ($name:literal, $state:literal, $due:literal, $order:literal) => {
        concat!(
            "-- ",
            $name,
            "
WITH picked AS MATERIALIZED (
    SELECT id, next_attempt_at AS due FROM observer_deliveries WHERE ",
            $state,
            $due,
            " ORDER BY ",
            $order,
            " LIMIT $1 FOR UPDATE SKIP LOCKED
), owned AS (
    UPDATE observer_deliveries SET state = 'running', owner = $2, attempts = attempts + 1, next_attempt_at = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING *
)
SELECT id, event_seq, event_at, position, priority, due, observer, action, action_type, attempts, attempts_before
FROM owned JOIN picked USING (id)"
        )
    };
}

/// The same, when some lanes are passed over. Steps from lane to lane through the index instead of reading what lies in
/// them, drops those that are passed over, and takes the first of each of the others.
macro_rules! claim_by_lane {
    ($name:literal, $state:literal, $due:literal, $order:literal) => {
        concat!(
            "-- ",
            $name,
            "
WITH RECURSIVE lane (observer, action) AS (
    (SELECT observer, action FROM observer_deliveries WHERE ",
            $state,
            " ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM lane CROSS JOIN LATERAL (
        SELECT observer, action FROM observer_deliveries WHERE ",
            $state,
            " AND (observer, action) > (lane.observer, lane.action) ORDER BY observer, action LIMIT 1) AS next
), first AS MATERIALIZED (
    SELECT f.id
    FROM lane CROSS JOIN LATERAL (
        SELECT id, priority, event_seq, position, next_attempt_at FROM observer_deliveries WHERE ",
            $state,
            $due,
            " AND observer = lane.observer AND action = lane.action ORDER BY ",
            $order,
            " LIMIT $1) AS f
    WHERE (lane.observer, lane.action) NOT IN (SELECT * FROM unnest($3::text[], $4::text[]))
    ORDER BY ",
            $order,
            " LIMIT $1
), picked AS MATERIALIZED (
    SELECT id, next_attempt_at AS due FROM observer_deliveries
    WHERE id = ANY (ARRAY(SELECT id FROM first)) AND ",
            $state,
            " FOR UPDATE SKIP LOCKED
), owned AS (
    UPDATE observer_deliveries SET state = 'running', owner = $2, attempts = attempts + 1, next_attempt_at = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING *
)
SELECT id, event_seq, event_at, position, priority, due, observer, action, action_type, attempts, attempts_before
FROM owned JOIN picked USING (id)"
        )
    };
}

statements! {
    /// What is claimable, looked at without a transaction.
    HAS_WORK = "-- has_work
SELECT EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND NOT blocked AND NOT paused)
    OR EXISTS (SELECT 1 FROM observer_deliveries
               WHERE state = 'waiting' AND NOT blocked AND NOT paused AND next_attempt_at <= $1)";
    CLAIM_DUE = claim!("claim_due",
        "state = 'waiting' AND NOT blocked AND NOT paused", " AND next_attempt_at <= $3", "next_attempt_at");
    CLAIM_READY = claim!("claim_ready",
        "state = 'ready' AND NOT blocked AND NOT paused", "", "priority DESC, event_seq, position");
    CLAIM_DUE_BY_LANE = claim_by_lane!("claim_due_by_lane",
        "state = 'waiting' AND NOT blocked AND NOT paused", " AND next_attempt_at <= $5", "next_attempt_at");
    CLAIM_READY_BY_LANE = claim_by_lane!("claim_ready_by_lane",
        "state = 'ready' AND NOT blocked AND NOT paused", "", "priority DESC, event_seq, position");
    DELETE_DELIVERIES = "-- delete_deliveries
DELETE FROM observer_deliveries WHERE id = ANY($1)";
    NEXT_DUE = "-- next_due
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND NOT blocked AND NOT paused)
    THEN to_timestamp(0)
    ELSE (SELECT next_attempt_at FROM observer_deliveries
          WHERE state = 'waiting' AND NOT blocked AND NOT paused ORDER BY next_attempt_at LIMIT 1)
    END AS due";
    /// Steps from lane to lane as `claim_ready_by_lane` does; of each it reads the first.
    NEXT_DUE_BY_LANE = "-- next_due_by_lane
WITH RECURSIVE ready (observer, action) AS (
    (SELECT observer, action FROM observer_deliveries
     WHERE state = 'ready' AND NOT blocked AND NOT paused ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM ready CROSS JOIN LATERAL (
        SELECT observer, action FROM observer_deliveries
        WHERE state = 'ready' AND NOT blocked AND NOT paused AND (observer, action) > (ready.observer, ready.action)
        ORDER BY observer, action LIMIT 1) AS next
), waiting (observer, action) AS (
    (SELECT observer, action FROM observer_deliveries
     WHERE state = 'waiting' AND NOT blocked AND NOT paused ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM waiting CROSS JOIN LATERAL (
        SELECT observer, action FROM observer_deliveries
        WHERE state = 'waiting' AND NOT blocked AND NOT paused AND (observer, action) > (waiting.observer, waiting.action)
        ORDER BY observer, action LIMIT 1) AS next
)
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM ready WHERE (observer, action) NOT IN (SELECT * FROM unnest($1::text[], $2::text[])))
    THEN to_timestamp(0)
    ELSE (SELECT min(first.next_attempt_at)
          FROM waiting CROSS JOIN LATERAL (
              SELECT next_attempt_at FROM observer_deliveries
              WHERE state = 'waiting' AND NOT blocked AND NOT paused AND observer = waiting.observer
                AND action = waiting.action
              ORDER BY next_attempt_at LIMIT 1) AS first
          WHERE (observer, action) NOT IN (SELECT * FROM unnest($1::text[], $2::text[])))
    END AS due";
    RELEASE_DELIVERIES = "-- release_deliveries
UPDATE observer_deliveries AS d
SET state = CASE WHEN $4::timestamptz IS NULL THEN 'ready' ELSE 'waiting' END, next_attempt_at = $4, owner = NULL,
    attempts = d.attempts - 1
FROM unnest($1::uuid[], $2::integer[]) AS claim (id, attempts)
WHERE d.id = ANY ($1) AND d.id = claim.id AND d.attempts = claim.attempts AND d.state = 'running' AND d.owner = $3";
}

#[async_trait]
impl Claims for PostgresStore {
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
        self.inner
            .connections
            .write("claim", Sync::Later, |session| Box::pin(claim(session, host, limit, except, now)))
            .await
    }

    async fn next_due(&self, except: &[Lane]) -> Result<Option<Timestamp>> {
        let mut session = self.inner.connections.read().await?;
        let (observers, actions) = names(except);
        let call = if except.is_empty() {
            NEXT_DUE.call()
        } else {
            NEXT_DUE_BY_LANE.call().bind(observers).bind(actions)
        };
        let due: Option<At> = call.value(&mut session).await?;
        Ok(due.map(|At(at)| at))
    }

    async fn complete(&self, host: HostId, completions: Vec<Completion>) -> Result<CompletionReport> {
        if completions.is_empty() {
            return Ok(CompletionReport::default());
        }
        let completions = &completions;
        self.inner
            .connections
            .write("complete", Sync::Later, |session| {
                Box::pin(completion::complete(session, host, completions))
            })
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
        let deliveries = &deliveries;
        self.inner
            .connections
            .write("release", Sync::Later, |session| Box::pin(release(session, host, deliveries, not_before)))
            .await
    }
}

impl PostgresStore {
    async fn has_work(&self, now: Timestamp) -> Result<bool> {
        let mut session = self.inner.connections.read().await?;
        HAS_WORK.call().bind_time(now).value(&mut session).await
    }
}

async fn claim(
    session: &mut Session<'_>,
    host: HostId,
    limit: usize,
    except: &[Lane],
    now: Timestamp,
) -> Result<Vec<ClaimedDelivery>> {
    let owned = own(session, host, limit, except, now).await?;
    let places: Vec<_> = owned.iter().map(|owned| (owned.event_seq, owned.event_at)).collect();
    let events = event_row::read_all(session, &places).await?;
    let mut claimed = Vec::with_capacity(owned.len());
    let mut rejected = Vec::new();
    for owned in owned {
        match events.get(&owned.event_seq) {
            Some(Ok(event)) => claimed.push(owned.into_claimed(event.clone())),
            Some(Err(row)) => rejected.push((owned, copy(row))),
            None => rejected.push((owned, event_row::missing())),
        }
    }
    set_aside(session, rejected, now).await?;
    Ok(claimed)
}

/// As the statements take lanes: their observers, and their actions.
fn names(lanes: &[Lane]) -> (Vec<&str>, Vec<&str>) {
    lanes.iter().map(|lane| (&*lane.observer, &*lane.action)).unzip()
}

/// A delivery that was claimed; its event is not read yet.
struct Owned {
    id: Uuid,
    event_seq: i64,
    event_at: Timestamp,
    position: i32,
    priority: i32,
    due: Option<Timestamp>,
    observer: Arc<str>,
    action: Arc<str>,
    action_type: Arc<str>,
    attempt: u32,
    attempts_before: u32,
}

/// Claims what is due, then what is ready, each in its order.
async fn own(
    session: &mut Session<'_>,
    host: HostId,
    limit: usize,
    except: &[Lane],
    now: Timestamp,
) -> Result<Vec<Owned>> {
    let (observers, actions) = names(except);
    let due = if except.is_empty() {
        CLAIM_DUE.call().bind_limit(limit).bind(host.0).bind_time(now)
    } else {
        let call = CLAIM_DUE_BY_LANE.call().bind_limit(limit).bind(host.0);
        call.bind(&observers).bind(&actions).bind_time(now)
    };
    let mut owned = read_owned(&due.all(session).await?)?;
    owned.sort_by_key(|owned| owned.due);
    let left = limit - owned.len();
    if left > 0 {
        let ready = if except.is_empty() {
            CLAIM_READY.call().bind_limit(left).bind(host.0)
        } else {
            CLAIM_READY_BY_LANE.call().bind_limit(left).bind(host.0).bind(observers).bind(actions)
        };
        let mut ready = read_owned(&ready.all(session).await?)?;
        ready.sort_by_key(|owned| (std::cmp::Reverse(owned.priority), owned.event_seq, owned.position));
        owned.append(&mut ready);
    }
    Ok(owned)
}

fn read_owned(records: &[Record]) -> Result<Vec<Owned>> {
    let name = |record: &Record, column: &str| record.get::<&str>(column).map(Arc::from);
    records
        .iter()
        .map(|record| {
            Ok(Owned {
                id: record.get("id")?,
                event_seq: record.get("event_seq")?,
                event_at: record.time("event_at")?,
                position: record.get("position")?,
                priority: record.get("priority")?,
                due: record.optional_time("due")?,
                observer: name(record, "observer")?,
                action: name(record, "action")?,
                action_type: name(record, "action_type")?,
                attempt: record.count("attempts")?,
                attempts_before: record.count("attempts_before")?,
            })
        })
        .collect()
}

impl Owned {
    fn into_claimed(self, event: aftercommit_core::EntityEvent) -> ClaimedDelivery {
        ClaimedDelivery {
            id: DeliveryId(self.id),
            event: Arc::new(event),
            observer: self.observer,
            action: self.action,
            action_type: self.action_type,
            attempt: self.attempt,
            attempts_before: self.attempts_before,
        }
    }
}

fn copy(row: &Rejected) -> Rejected {
    Rejected {
        event_id: row.event_id.clone(),
        entity_type: row.entity_type.clone(),
        entity_id: row.entity_id.clone(),
        reason: row.reason.clone(),
    }
}

/// Someone changed or deleted events that have live deliveries: nothing can deliver them, so they go where a person
/// looks, and do not stand in the way of others.
async fn set_aside(
    session: &mut Session<'_>,
    rejected: Vec<(Owned, Rejected)>,
    now: Timestamp,
) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    let mut rows = Vec::new();
    for (owned, mut row) in rejected {
        let observer = &*owned.observer;
        row.reason =
            format!("the event of a delivery to `{observer}` was changed or deleted: {}", row.reason);
        tracing::error!(observer, event_id = row.event_id, reason = row.reason, "a delivery is put aside");
        ids.push(owned.id);
        rows.push((owned.event_seq, row));
    }
    intake::quarantine(session, &rows, now).await?;
    DELETE_DELIVERIES.call().bind(ids).execute(session).await?;
    Ok(())
}

async fn release(
    session: &mut Session<'_>,
    host: HostId,
    deliveries: &[(DeliveryId, u32)],
    not_before: Option<Timestamp>,
) -> Result<usize> {
    let ids: Vec<Uuid> = deliveries.iter().map(|(id, _)| id.0).collect();
    locks::keys_of(session, &ids).await?;
    completion::join_by_hash(session).await?;
    RELEASE_DELIVERIES
        .call()
        .bind(ids)
        .bind(deliveries.iter().map(|(_, attempt)| int(*attempt)).collect::<Vec<_>>())
        .bind(host.0)
        .bind(not_before.map(At))
        .execute(session)
        .await
}
