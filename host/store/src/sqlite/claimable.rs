//! What can be claimed, in its order: retries that are due, and what is ready. `claims` claims it.
//!
//! A lane is one action of one observer. Lanes that are passed over, those of disabled observers among them, may hold a great many
//! deliveries, of which nothing is read.

use aftercommit_core::Timestamp;
use rusqlite::Connection;

use super::statement::{Record, statements};
use crate::{ClaimFirst, ClaimRequest, ClaimShare, Lane, Result, Trial, holds::lanes_to_json, row::Row as _};

/// What a claim reads of each candidate, a row of `d`.
macro_rules! columns {
    () => {
        "d.id, d.event_seq, d.observer, d.action, d.action_type, d.attempts, d.attempts_before,
       d.uncharged, d.losses, d.lone_losses, d.event_bytes, d.ordering_key, d.position"
    };
}
pub(super) use columns;

/// Selects candidates. Partial indexes ask for their own conditions, word for word.
macro_rules! candidates {
    ($name:literal, $rest:expr) => {
        concat!(
            "-- ",
            $name,
            "
SELECT ",
            columns!(),
            "
FROM observer_deliveries AS d
WHERE ",
            $rest
        )
    };
}

/// Steps from lane to lane through the index, instead of reading what lies in them.
macro_rules! lanes {
    ($name:literal, $state:literal) => {
        concat!(
            $name,
            " (observer, action) AS (
    SELECT * FROM (SELECT observer, action FROM observer_deliveries WHERE ",
            $state,
            " ORDER BY observer, action LIMIT 1)
    UNION ALL
    SELECT next.observer, next.action
    FROM ",
            $name,
            " AS lane CROSS JOIN observer_deliveries AS next ON next.id = coalesce(
        (SELECT id FROM observer_deliveries WHERE ",
            $state,
            " AND observer = lane.observer AND action > lane.action ORDER BY action LIMIT 1),
        (SELECT id FROM observer_deliveries WHERE ",
            $state,
            " AND observer > lane.observer ORDER BY observer, action LIMIT 1))
)"
        )
    };
}

/// Whether a delivery in this state belongs to a disabled observer. Steps from a name in the one index to the next one in the
/// other: reads two entries for each step, and no more steps than either has names.
macro_rules! of_disabled {
    ($name:literal, $state:literal) => {
        concat!(
            $name,
            " (disabled, observer) AS (
    SELECT o.name, (SELECT observer FROM observer_deliveries WHERE ",
            $state,
            " AND observer >= o.name ORDER BY observer LIMIT 1)
    FROM (SELECT name FROM tb_observer WHERE enabled = 0 ORDER BY name LIMIT 1) AS o
    UNION ALL
    SELECT o.name, (SELECT observer FROM observer_deliveries WHERE ",
            $state,
            " AND observer >= o.name ORDER BY observer LIMIT 1)
    FROM ",
            $name,
            " AS step CROSS JOIN tb_observer AS o ON o.name =
        (SELECT name FROM tb_observer WHERE enabled = 0 AND name >= step.observer ORDER BY name LIMIT 1)
    WHERE step.observer > step.disabled
)"
        )
    };
}

/// Whether the observer with this name is not disabled.
macro_rules! is_enabled {
    ($observer:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM tb_observer AS o WHERE o.name = ",
            $observer,
            " AND o.enabled = 0)"
        )
    };
}
pub(super) use is_enabled;

/// The same as [`candidates`], when some lanes are passed over: takes the first of each of the others.
macro_rules! candidates_by_lane {
    ($name:literal, $state:literal, $due:literal, $order:literal) => {
        concat!(
            "-- ",
            $name,
            "
WITH RECURSIVE ",
            lanes!("lane", $state),
            "
SELECT ",
            columns!(),
            "
FROM lane
     CROSS JOIN observer_deliveries AS d ON d.id IN (
         SELECT id FROM observer_deliveries WHERE ",
            $state,
            $due,
            " AND observer = lane.observer AND action = lane.action ORDER BY ",
            $order,
            " LIMIT ?1)
WHERE (lane.observer, lane.action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))
  AND ",
            is_enabled!("lane.observer"),
            "
ORDER BY ",
            $order,
            " LIMIT ?1"
        )
    };
}

statements! {
    CLAIM_DUE = candidates!("claim_due",
        "d.state = 'waiting' AND d.blocked = 0 AND d.losses = 0 AND d.next_attempt_at <= ?2
ORDER BY d.next_attempt_at LIMIT ?1");
    CLAIM_READY = candidates!("claim_ready",
        "d.state = 'ready' AND d.blocked = 0 AND d.losses = 0
ORDER BY d.priority DESC, d.event_seq, d.position LIMIT ?1");
    CLAIM_DUE_BY_LANE = candidates_by_lane!("claim_due_by_lane",
        "state = 'waiting' AND blocked = 0 AND losses = 0",
        " AND next_attempt_at <= ?3",
        "next_attempt_at");
    CLAIM_READY_BY_LANE = candidates_by_lane!("claim_ready_by_lane",
        "state = 'ready' AND blocked = 0 AND losses = 0",
        "",
        "priority DESC, event_seq, position");
    /// With care: those that were lost this often in a row, at least and at most.
    CLAIM_SUSPECTS = candidates!("claim_suspects", concat!(
        "d.losses > 0 AND d.state <> 'running' AND d.blocked = 0
  AND d.losses BETWEEN ?2 AND ?3 AND (d.next_attempt_at IS NULL OR d.next_attempt_at <= ?4)
  AND (d.observer, d.action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?5))
  AND ", is_enabled!("d.observer"), "
ORDER BY d.losses, d.priority DESC, d.event_seq, d.position LIMIT ?1"));
    HAS_SUSPECTS = concat!("-- has_suspects
SELECT EXISTS (SELECT 1 FROM observer_deliveries AS d
               WHERE d.losses > 0 AND d.state <> 'running' AND d.blocked = 0 AND ", is_enabled!("d.observer"), ")");
    HAS_DISABLED = concat!("-- has_disabled
WITH RECURSIVE ", of_disabled!("ready", "state = 'ready' AND blocked = 0 AND losses = 0"), ", ",
        of_disabled!("waiting", "state = 'waiting' AND blocked = 0 AND losses = 0"), "
SELECT EXISTS (SELECT 1 FROM ready WHERE observer = disabled) OR EXISTS (SELECT 1 FROM waiting WHERE observer = disabled)");
    NEXT_DUE = "-- next_due
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND blocked = 0 AND losses = 0)
    THEN '1970-01-01T00:00:00.000000Z'
    ELSE (SELECT min(next_attempt_at) FROM observer_deliveries
          WHERE state = 'waiting' AND blocked = 0 AND losses = 0)
    END AS due";
    /// Of each lane it reads the first.
    NEXT_DUE_BY_LANE = concat!("-- next_due_by_lane
WITH RECURSIVE ", lanes!("ready", "state = 'ready' AND blocked = 0 AND losses = 0"), ", ",
        lanes!("waiting", "state = 'waiting' AND blocked = 0 AND losses = 0"), "
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM ready
                 WHERE (observer, action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
                   AND ", is_enabled!("ready.observer"), ")
    THEN '1970-01-01T00:00:00.000000Z'
    ELSE (SELECT min((SELECT next_attempt_at FROM observer_deliveries AS d
                      WHERE d.state = 'waiting' AND d.blocked = 0 AND d.losses = 0 AND d.observer = waiting.observer
                        AND d.action = waiting.action
                      ORDER BY d.next_attempt_at LIMIT 1))
          FROM waiting
          WHERE (observer, action) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
            AND ", is_enabled!("waiting.observer"), ")
    END AS due");
}

/// Whether some lanes are passed over.
fn is_by_lane(connection: &Connection, except: &[Lane]) -> Result<bool> {
    Ok(!except.is_empty() || HAS_DISABLED.call().value(connection)?)
}

/// When there is something to claim outside these lanes; in the past when it is ready.
pub(super) fn next_due(connection: &Connection, except: &[Lane]) -> Result<Option<Timestamp>> {
    let call = if is_by_lane(connection, except)? {
        NEXT_DUE_BY_LANE.call().bind(lanes_to_json(except))
    } else {
        NEXT_DUE.call()
    };
    call.optional(connection)?.map_or(Ok(None), |record| record.optional_time("due"))
}

/// What is to be claimed, in the order of its parts.
pub(super) fn candidates(
    connection: &Connection,
    ClaimRequest { share, limit, except, now, .. }: ClaimRequest<'_>,
) -> Result<Vec<Record>> {
    let by_lane = is_by_lane(connection, except)?.then(|| lanes_to_json(except));
    let read = |which, most: usize| match (which, &by_lane) {
        _ if most == 0 => Ok(Vec::new()),
        (ClaimFirst::Due, None) => CLAIM_DUE.call().bind_limit(most).bind_time(now).all(connection),
        (ClaimFirst::Due, Some(lanes)) => {
            CLAIM_DUE_BY_LANE.call().bind_limit(most).bind(lanes).bind_time(now).all(connection)
        }
        (ClaimFirst::Ready, None) => CLAIM_READY.call().bind_limit(most).all(connection),
        (ClaimFirst::Ready, Some(lanes)) => {
            CLAIM_READY_BY_LANE.call().bind_limit(most).bind(lanes).all(connection)
        }
    };
    // Retries are read first whoever goes first: mostly there are none, and what is ready is read once.
    let retries = share.retries_of(limit);
    let mut due = read(ClaimFirst::Due, retries)?;
    let ready = read(ClaimFirst::Ready, limit - due.len())?;
    let left = limit - due.len() - ready.len();
    if left > 0 && due.len() == retries {
        due = read(ClaimFirst::Due, retries + left)?;
    }
    Ok(in_parts(share, limit, due, ready))
}

/// What was found, in the order of the parts.
fn in_parts(share: ClaimShare, limit: usize, due: Vec<Record>, ready: Vec<Record>) -> Vec<Record> {
    let (mut due, mut ready) = (due.into_iter(), ready.into_iter());
    let mut candidates = Vec::with_capacity(due.len() + ready.len());
    for (which, most) in share.parts(limit) {
        let side = match which {
            ClaimFirst::Due => &mut due,
            ClaimFirst::Ready => &mut ready,
        };
        candidates.extend(side.take(most));
    }
    candidates
}

/// Which suspects are to be claimed, in order.
pub(super) fn suspects(
    connection: &Connection,
    which: Trial,
    except: &[Lane],
    now: Timestamp,
) -> Result<Vec<Record>> {
    let (least, most) = which.losses();
    let call = CLAIM_SUSPECTS.call().bind_limit(which.limit()).bind(least).bind(most).bind_time(now);
    call.bind(lanes_to_json(except)).all(connection)
}

/// Whether any suspect can be claimed, now or later.
pub(super) fn has_suspects(connection: &Connection) -> Result<bool> {
    HAS_SUSPECTS.call().value(connection)
}

#[cfg(test)]
mod tests {
    use rusqlite::{params_from_iter, types::Null};

    use super::{super::statement::Statement, *};
    use crate::{Schema as _, SqliteOptions, SqliteStore};

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
            (CLAIM_SUSPECTS, &["USING INDEX observer_deliveries_lost (losses>? AND losses<?)"]),
            (HAS_SUSPECTS, &["USING INDEX observer_deliveries_lost"]),
            (
                HAS_DISABLED,
                &[
                    "USING INDEX tb_observer_disabled\n",
                    "USING INDEX tb_observer_disabled (name>?)",
                    "USING INDEX observer_deliveries_ready_by_lane (observer>?)",
                    "USING INDEX observer_deliveries_due_by_lane (observer>?)",
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
