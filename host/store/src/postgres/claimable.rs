//! What can be claimed, in its order: retries that are due, and what is ready. `claims` reads what was claimed.
//!
//! A lane is one action of one observer. Lanes that are passed over, those of disabled observers among them, may hold a great many
//! deliveries, of which nothing is read.

use aftercommit_core::Timestamp;

use super::{
    session::Session,
    statement::{Call, Record, Statement, statements},
    time::At,
};
use crate::{ClaimRequest, ClaimShare, HostId, Lane, Result, Trial, row::Row as _};

/// Owns what was picked. The rows are updated by an array of their ids, so that the planner, which does not know the limit,
/// never reads the whole table.
macro_rules! owned {
    () => {
        ", owned AS (
    UPDATE observer_deliveries SET state = 'running', owner = $2, attempts = least(attempts, 2147483646) + 1, next_attempt_at = NULL
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
/// nothing was claimed before. An observer may have been disabled since the caller looked.
macro_rules! fitting {
    () => {
        ", picked AS MATERIALIZED (
    SELECT id, due FROM (SELECT id, due, observer, sum(event_bytes) OVER w AS upto, row_number() OVER w AS n
                         FROM locked WINDOW w AS (ROWS UNBOUNDED PRECEDING)) AS s
    WHERE (upto <= $3 OR n = 1 AND $4)
      AND observer NOT IN (SELECT name FROM tb_observer WHERE NOT enabled)
)"
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
    SELECT id, next_attempt_at AS due, observer, event_bytes FROM observer_deliveries WHERE ",
            $state,
            $due,
            " ORDER BY ",
            $order,
            " LIMIT $1 FOR UPDATE SKIP LOCKED
)",
            fitting!(),
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
    FROM (SELECT name FROM tb_observer WHERE NOT enabled ORDER BY name LIMIT 1) AS o
    UNION ALL
    SELECT o.name, (SELECT observer FROM observer_deliveries WHERE ",
            $state,
            " AND observer >= o.name ORDER BY observer LIMIT 1)
    FROM ",
            $name,
            " AS step CROSS JOIN LATERAL (
        SELECT name FROM tb_observer WHERE NOT enabled AND name >= step.observer ORDER BY name LIMIT 1) AS o
    WHERE step.observer > step.disabled
)"
        )
    };
}

/// Whether some lanes are passed over, as a column.
macro_rules! has_disabled {
    () => {
        "EXISTS (SELECT 1 FROM ready_of WHERE observer = disabled)
       OR EXISTS (SELECT 1 FROM waiting_of WHERE observer = disabled) AS has_disabled"
    };
}

/// The same as [`claim`], when some lanes are passed over: takes the first of each of the others. The `CASE` keeps a plan that was
/// made while the table was small from looking for the ids in a partial index, which it would read whole.
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
      AND lane.observer NOT IN (SELECT name FROM tb_observer WHERE NOT enabled)
    ORDER BY ",
            $order,
            " LIMIT $1
), locked AS MATERIALIZED (
    SELECT id, next_attempt_at AS due, observer, event_bytes FROM observer_deliveries
    WHERE id = ANY (ARRAY(SELECT id FROM first)) AND CASE WHEN ",
            $state,
            " THEN true END ORDER BY ",
            $order,
            " FOR UPDATE SKIP LOCKED
)",
            fitting!(),
            owned!()
        )
    };
}

statements! {
    HAS_WORK = concat!("-- has_work
WITH RECURSIVE ", of_disabled!("ready_of", "state = 'ready' AND NOT blocked AND losses = 0"), ", ",
        of_disabled!("waiting_of", "state = 'waiting' AND NOT blocked AND losses = 0"), "
SELECT EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND NOT blocked AND losses = 0) AS has_ready,
       EXISTS (SELECT 1 FROM observer_deliveries
               WHERE state = 'waiting' AND NOT blocked AND losses = 0 AND next_attempt_at <= $1) AS has_due,
       ", has_disabled!());
    CLAIM_DUE = claim!("claim_due",
        "state = 'waiting' AND NOT blocked AND losses = 0", " AND next_attempt_at <= $5", "next_attempt_at");
    CLAIM_READY = claim!("claim_ready",
        "state = 'ready' AND NOT blocked AND losses = 0", "", "priority DESC, event_seq, position");
    CLAIM_DUE_BY_LANE = claim_by_lane!("claim_due_by_lane",
        "state = 'waiting' AND NOT blocked AND losses = 0", " AND next_attempt_at <= $7", "next_attempt_at");
    CLAIM_READY_BY_LANE = claim_by_lane!("claim_ready_by_lane",
        "state = 'ready' AND NOT blocked AND losses = 0", "", "priority DESC, event_seq, position");
    /// With care: those that were lost this often in a row, at least and at most.
    CLAIM_SUSPECTS = concat!("-- claim_suspects
WITH locked AS MATERIALIZED (
    SELECT id, next_attempt_at AS due, observer, event_bytes FROM observer_deliveries
    WHERE losses > 0 AND state <> 'running' AND NOT blocked
      AND losses BETWEEN $5 AND $6 AND (next_attempt_at IS NULL OR next_attempt_at <= $7)
      AND (observer, action) NOT IN (SELECT * FROM unnest($8::text[], $9::text[]))
      AND observer NOT IN (SELECT name FROM tb_observer WHERE NOT enabled)
    ORDER BY losses, priority DESC, event_seq, position LIMIT $1 FOR UPDATE SKIP LOCKED
)", fitting!(), owned!());
    HAS_SUSPECTS = "-- has_suspects
SELECT EXISTS (SELECT 1 FROM observer_deliveries
               WHERE losses > 0 AND state <> 'running' AND NOT blocked
                 AND observer NOT IN (SELECT name FROM tb_observer WHERE NOT enabled))";
    NEXT_DUE = concat!("-- next_due
WITH RECURSIVE ", of_disabled!("ready_of", "state = 'ready' AND NOT blocked AND losses = 0"), ", ",
        of_disabled!("waiting_of", "state = 'waiting' AND NOT blocked AND losses = 0"), "
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM observer_deliveries WHERE state = 'ready' AND NOT blocked AND losses = 0)
    THEN to_timestamp(0)
    ELSE (SELECT next_attempt_at FROM observer_deliveries
          WHERE state = 'waiting' AND NOT blocked AND losses = 0 ORDER BY next_attempt_at LIMIT 1)
    END AS due,
       ", has_disabled!());
    /// Of each lane it reads the first.
    NEXT_DUE_BY_LANE = concat!("-- next_due_by_lane
WITH RECURSIVE ", lanes!("ready", "state = 'ready' AND NOT blocked AND losses = 0"), ", ",
        lanes!("waiting", "state = 'waiting' AND NOT blocked AND losses = 0"), "
SELECT CASE
    WHEN EXISTS (SELECT 1 FROM ready WHERE (observer, action) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))
                                       AND observer NOT IN (SELECT name FROM tb_observer WHERE NOT enabled))
    THEN to_timestamp(0)
    ELSE (SELECT min(first.next_attempt_at)
          FROM waiting CROSS JOIN LATERAL (
              SELECT next_attempt_at FROM observer_deliveries
              WHERE state = 'waiting' AND NOT blocked AND losses = 0 AND observer = waiting.observer
                AND action = waiting.action
              ORDER BY next_attempt_at LIMIT 1) AS first
          WHERE (observer, action) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))
            AND observer NOT IN (SELECT name FROM tb_observer WHERE NOT enabled))
    END AS due");
}

/// Which lanes are passed over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Search<'a> {
    /// None.
    All,
    /// These, and those of disabled observers.
    ByLane(&'a [Lane]),
}

impl<'a> Search<'a> {
    const fn of(except: &'a [Lane], has_disabled: bool) -> Self {
        if except.is_empty() && !has_disabled { Self::All } else { Self::ByLane(except) }
    }
}

/// How to claim what there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) search: Search<'a>,
    /// Where only one side has anything, it is claimed at once.
    pub(super) share: ClaimShare,
}

/// How to claim what can be claimed, if there is anything.
pub(super) async fn find<'a>(
    session: &mut Session<'_>,
    ClaimRequest { except, share, now, .. }: ClaimRequest<'a>,
) -> Result<Option<Found<'a>>> {
    let Some(found) = HAS_WORK.call().bind_time(now).optional(session).await? else { return Ok(None) };
    let share = match (found.flag("has_ready")?, found.flag("has_due")?) {
        (true, true) => share,
        (true, false) => ClaimShare::READY_FIRST,
        (false, true) => ClaimShare::DUE_FIRST,
        (false, false) => return Ok(None),
    };
    Ok(Some(Found { search: Search::of(except, found.flag("has_disabled")?), share }))
}

/// When there is something to claim outside these lanes; in the past when it is ready.
pub(super) async fn next_due(session: &mut Session<'_>, except: &[Lane]) -> Result<Option<Timestamp>> {
    if except.is_empty() {
        let Some(found) = NEXT_DUE.call().optional(session).await? else { return Ok(None) };
        if !found.flag("has_disabled")? {
            return found.optional_time("due");
        }
    }
    let (observers, actions) = names(except);
    let due: Option<At> = NEXT_DUE_BY_LANE.call().bind(observers).bind(actions).value(session).await?;
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
    fn call(self, statement: Statement, host: HostId) -> Call {
        statement.call().bind_limit(self.rows).bind(host.0).bind_limit(self.bytes).bind(self.has_first)
    }

    fn search(self, [all, by_lane]: [Statement; 2], host: HostId, search: Search<'_>) -> Call {
        match search {
            Search::All => self.call(all, host),
            Search::ByLane(except) => {
                let (observers, actions) = names(except);
                self.call(by_lane, host).bind(observers).bind(actions)
            }
        }
    }
}

/// Claims retries that are due; in any order.
pub(super) async fn claim_due(
    session: &mut Session<'_>,
    host: HostId,
    room: Room,
    search: Search<'_>,
    now: Timestamp,
) -> Result<Vec<Record>> {
    room.search([CLAIM_DUE, CLAIM_DUE_BY_LANE], host, search).bind_time(now).all(session).await
}

/// Claims what is ready; in any order.
pub(super) async fn claim_ready(
    session: &mut Session<'_>,
    host: HostId,
    room: Room,
    search: Search<'_>,
) -> Result<Vec<Record>> {
    room.search([CLAIM_READY, CLAIM_READY_BY_LANE], host, search).all(session).await
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
    let call = room.call(CLAIM_SUSPECTS, host).bind(least).bind(most).bind_time(now);
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
