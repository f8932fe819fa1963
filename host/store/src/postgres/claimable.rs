//! What can be claimed, in its order: what is due first, then what is ready. `claims` reads what was claimed.
//!
//! A lane is one action of one observer. Lanes that are passed over may hold a great many deliveries, of which nothing is read.

use aftercommit_core::Timestamp;

use super::{
    session::Session,
    statement::{Call, Record, Statement, statements},
    time::At,
};
use crate::{HostId, Lane, Result, Trial};

/// Owns what was picked. The rows are updated by an array of their ids, so that the planner, which does not know the limit,
/// never reads the whole table.
macro_rules! owned {
    () => {
        ", owned AS (
    UPDATE observer_deliveries SET state = 'running', owner = $2, attempts = attempts + 1, next_attempt_at = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING *
)
SELECT id, event_seq, event_at, event_bytes, position, priority, due, observer, action, action_type, attempts, attempts_before,
       uncharged, losses, lone_losses, ordering_key
FROM owned JOIN picked USING (id)"
    };
}

pub(super) use owned;

/// Of what was locked, in its order, as much as there is room for: events of so many bytes, and the first however large it is, if
/// nothing was claimed before.
macro_rules! fitting {
    ($bytes:literal, $first:literal) => {
        concat!(
            ", picked AS MATERIALIZED (
    SELECT id, due FROM (SELECT id, due, sum(event_bytes) OVER w AS upto, row_number() OVER w AS n
                         FROM locked WINDOW w AS (ROWS UNBOUNDED PRECEDING)) AS s
    WHERE upto <= ",
            $bytes,
            " OR n = 1 AND ",
            $first,
            "
)"
        )
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
WITH locked AS MATERIALIZED (
    SELECT id, next_attempt_at AS due, event_bytes FROM observer_deliveries WHERE ",
            $state,
            $due,
            " ORDER BY ",
            $order,
            " LIMIT $1 FOR UPDATE SKIP LOCKED
)",
            fitting!("$3", "$4"),
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
    WHERE (lane.observer, lane.action) NOT IN (SELECT * FROM unnest($5::text[], $6::text[]))
    ORDER BY ",
            $order,
            " LIMIT $1
), locked AS MATERIALIZED (
    SELECT id, next_attempt_at AS due, event_bytes FROM observer_deliveries
    WHERE id = ANY (ARRAY(SELECT id FROM first)) AND ",
            $state,
            " ORDER BY ",
            $order,
            " FOR UPDATE SKIP LOCKED
)",
            fitting!("$3", "$4"),
            owned!()
        )
    };
}

statements! {
    HAS_WORK = "-- has_work
SELECT EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND NOT blocked AND NOT paused AND losses = 0)
    OR EXISTS (SELECT 1 FROM observer_deliveries
               WHERE state = 'waiting' AND NOT blocked AND NOT paused AND losses = 0 AND next_attempt_at <= $1)";
    CLAIM_DUE = claim!("claim_due",
        "state = 'waiting' AND NOT blocked AND NOT paused AND losses = 0", " AND next_attempt_at <= $5", "next_attempt_at");
    CLAIM_READY = claim!("claim_ready",
        "state = 'ready' AND NOT blocked AND NOT paused AND losses = 0", "", "priority DESC, event_seq, position");
    CLAIM_DUE_BY_LANE = claim_by_lane!("claim_due_by_lane",
        "state = 'waiting' AND NOT blocked AND NOT paused AND losses = 0", " AND next_attempt_at <= $7", "next_attempt_at");
    CLAIM_READY_BY_LANE = claim_by_lane!("claim_ready_by_lane",
        "state = 'ready' AND NOT blocked AND NOT paused AND losses = 0", "", "priority DESC, event_seq, position");
    /// With care: those that were lost this often in a row, at least and at most.
    CLAIM_SUSPECTS = concat!("-- claim_suspects
WITH locked AS MATERIALIZED (
    SELECT id, next_attempt_at AS due, event_bytes FROM observer_deliveries
    WHERE losses > 0 AND state <> 'running' AND NOT blocked AND NOT paused
      AND losses BETWEEN $5 AND $6 AND (next_attempt_at IS NULL OR next_attempt_at <= $7)
      AND (observer, action) NOT IN (SELECT * FROM unnest($8::text[], $9::text[]))
    ORDER BY losses, priority DESC, event_seq, position LIMIT $1 FOR UPDATE SKIP LOCKED
)", fitting!("$3", "$4"), owned!());
    HAS_SUSPECTS = "-- has_suspects
SELECT EXISTS (SELECT 1 FROM observer_deliveries
               WHERE losses > 0 AND state <> 'running' AND NOT blocked AND NOT paused)";
    NEXT_DUE = "-- next_due
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND NOT blocked AND NOT paused AND losses = 0)
    THEN to_timestamp(0)
    ELSE (SELECT next_attempt_at FROM observer_deliveries
          WHERE state = 'waiting' AND NOT blocked AND NOT paused AND losses = 0 ORDER BY next_attempt_at LIMIT 1)
    END AS due";
    /// Of each lane it reads the first.
    NEXT_DUE_BY_LANE = concat!("-- next_due_by_lane
WITH RECURSIVE ", lanes!("ready", "state = 'ready' AND NOT blocked AND NOT paused AND losses = 0"), ", ",
        lanes!("waiting", "state = 'waiting' AND NOT blocked AND NOT paused AND losses = 0"), "
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM ready WHERE (observer, action) NOT IN (SELECT * FROM unnest($1::text[], $2::text[])))
    THEN to_timestamp(0)
    ELSE (SELECT min(first.next_attempt_at)
          FROM waiting CROSS JOIN LATERAL (
              SELECT next_attempt_at FROM observer_deliveries
              WHERE state = 'waiting' AND NOT blocked AND NOT paused AND losses = 0 AND observer = waiting.observer
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

/// How much can be claimed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: usize,
    /// Of events as text.
    pub(super) bytes: usize,
    /// Whether the first may be larger.
    pub(super) has_first: bool,
}

impl Room {
    fn call(self, statement: Statement, host: HostId, except: &[Lane]) -> Call {
        let call =
            statement.call().bind_limit(self.rows).bind(host.0).bind_limit(self.bytes).bind(self.has_first);
        if except.is_empty() {
            return call;
        }
        let (observers, actions) = names(except);
        call.bind(observers).bind(actions)
    }
}

/// Claims retries that are due; in any order.
pub(super) async fn claim_due(
    session: &mut Session<'_>,
    host: HostId,
    room: Room,
    except: &[Lane],
    now: Timestamp,
) -> Result<Vec<Record>> {
    let statement = if except.is_empty() { CLAIM_DUE } else { CLAIM_DUE_BY_LANE };
    room.call(statement, host, except).bind_time(now).all(session).await
}

/// Claims what is ready; in any order.
pub(super) async fn claim_ready(
    session: &mut Session<'_>,
    host: HostId,
    room: Room,
    except: &[Lane],
) -> Result<Vec<Record>> {
    let statement = if except.is_empty() { CLAIM_READY } else { CLAIM_READY_BY_LANE };
    room.call(statement, host, except).all(session).await
}

/// Claims suspects; in any order.
pub(super) async fn claim_suspects(
    session: &mut Session<'_>,
    host: HostId,
    which: Trial,
    max_bytes: usize,
    except: &[Lane],
    now: Timestamp,
) -> Result<Vec<Record>> {
    let room = Room { rows: which.limit(), bytes: max_bytes, has_first: true };
    let ((least, most), (observers, actions)) = (which.losses(), names(except));
    let call = room.call(CLAIM_SUSPECTS, host, &[]).bind(least).bind(most).bind_time(now);
    call.bind(observers).bind(actions).all(session).await
}

/// Whether any suspect can be claimed, now or later.
pub(super) async fn has_suspects(session: &mut Session<'_>) -> Result<bool> {
    HAS_SUSPECTS.call().value(session).await
}

/// As the statements take lanes: their observers, and their actions.
pub(super) fn names(lanes: &[Lane]) -> (Vec<&str>, Vec<&str>) {
    lanes.iter().map(|lane| (&*lane.observer, &*lane.action)).unzip()
}
