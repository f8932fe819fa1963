//! What can be claimed, in its order: what is due first, then what is ready. `claims` reads what was claimed.
//!
//! A lane is one action of one observer. Lanes that are passed over may hold a great many deliveries, of which nothing is read.

use aftercommit_core::Timestamp;

use super::{
    session::Session,
    statement::{Record, statements},
    time::At,
};
use crate::{HostId, Lane, Result};

/// Owns what was picked. The rows are updated by an array of their ids, so that the planner, which does not know the limit,
/// never reads the whole table.
macro_rules! owned {
    () => {
        ", owned AS (
    UPDATE observer_deliveries SET state = 'running', owner = $2, attempts = attempts + 1, next_attempt_at = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING *
)
SELECT id, event_seq, event_at, position, priority, due, observer, action, action_type, attempts, attempts_before
FROM owned JOIN picked USING (id)"
    };
}

/// Claims the first of those in some state. Partial indexes ask for their own conditions, word for word. A row that
/// another transaction has locked is passed over; the condition is tested once more on what was locked.
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
)",
            owned!()
        )
    };
}

/// Steps from lane to lane through the index, instead of reading what lies in them.
macro_rules! lanes {
    ($name:literal, $state:literal) => {
        concat!(
            $name,
            " (observer, action) AS (
    (SELECT observer, action FROM observer_deliveries WHERE ",
            $state,
            " ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM ",
            $name,
            " AS lane CROSS JOIN LATERAL (
        SELECT observer, action FROM observer_deliveries WHERE ",
            $state,
            " AND (observer, action) > (lane.observer, lane.action) ORDER BY observer, action LIMIT 1) AS next
)"
        )
    };
}

/// The same as [`claim`], when some lanes are passed over: takes the first of each of the others.
macro_rules! claim_by_lane {
    ($name:literal, $state:literal, $due:literal, $order:literal) => {
        concat!(
            "-- ",
            $name,
            "
WITH RECURSIVE ",
            lanes!("lane", $state),
            ", first AS MATERIALIZED (
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
)",
            owned!()
        )
    };
}

statements! {
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
    NEXT_DUE = "-- next_due
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND NOT blocked AND NOT paused)
    THEN to_timestamp(0)
    ELSE (SELECT next_attempt_at FROM observer_deliveries
          WHERE state = 'waiting' AND NOT blocked AND NOT paused ORDER BY next_attempt_at LIMIT 1)
    END AS due";
    /// Of each lane it reads the first.
    NEXT_DUE_BY_LANE = concat!("-- next_due_by_lane
WITH RECURSIVE ", lanes!("ready", "state = 'ready' AND NOT blocked AND NOT paused"), ", ",
        lanes!("waiting", "state = 'waiting' AND NOT blocked AND NOT paused"), "
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
    END AS due");
}

/// Whether there is anything to claim.
pub(super) async fn is_there(session: &mut Session<'_>, now: Timestamp) -> Result<bool> {
    HAS_WORK.call().bind_time(now).value(session).await
}

/// When there is something to claim outside these lanes; in the past when it is ready.
pub(super) async fn next_due(session: &mut Session<'_>, except: &[Lane]) -> Result<Option<Timestamp>> {
    let (observers, actions) = names(except);
    let call = if except.is_empty() {
        NEXT_DUE.call()
    } else {
        NEXT_DUE_BY_LANE.call().bind(observers).bind(actions)
    };
    let due: Option<At> = call.value(session).await?;
    Ok(due.map(|At(at)| at))
}

/// Claims retries that are due; in any order.
pub(super) async fn claim_due(
    session: &mut Session<'_>,
    host: HostId,
    limit: usize,
    except: &[Lane],
    now: Timestamp,
) -> Result<Vec<Record>> {
    let call = if except.is_empty() {
        CLAIM_DUE.call().bind_limit(limit).bind(host.0)
    } else {
        let (observers, actions) = names(except);
        CLAIM_DUE_BY_LANE.call().bind_limit(limit).bind(host.0).bind(observers).bind(actions)
    };
    call.bind_time(now).all(session).await
}

/// Claims what is ready; in any order.
pub(super) async fn claim_ready(
    session: &mut Session<'_>,
    host: HostId,
    limit: usize,
    except: &[Lane],
) -> Result<Vec<Record>> {
    let call = if except.is_empty() {
        CLAIM_READY.call().bind_limit(limit).bind(host.0)
    } else {
        let (observers, actions) = names(except);
        CLAIM_READY_BY_LANE.call().bind_limit(limit).bind(host.0).bind(observers).bind(actions)
    };
    call.all(session).await
}

/// As the statements take lanes: their observers, and their actions.
fn names(lanes: &[Lane]) -> (Vec<&str>, Vec<&str>) {
    lanes.iter().map(|lane| (&*lane.observer, &*lane.action)).unzip()
}
