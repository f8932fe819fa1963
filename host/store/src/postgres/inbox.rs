//! Reads the rows of the inbox, in order, from the [watermark](super::watermark) on.

use std::{sync::Arc, time::Instant};

use aftercommit_core::EntityEvent;

use super::{
    event_row,
    quarantine::{Aside, Place},
    session::Session,
    statement::{Call, Record, Statement, statements},
    watch::Watch,
    watermark::{Progress, Scan, Watermark},
};
use crate::{
    Result, TakeRequest,
    intake_batch::{Rejected, TakenEvent},
};

/// Where a scan begins: at the watermark, at the floor of a transaction that has ended since, or at the start of the inbox in a
/// session without the mark. What ended is seen by the snapshot that the rows are read with. Without a mark in `$4` it is the
/// watermark.
macro_rules! start {
    () => {
        "WITH start AS MATERIALIZED (
    SELECT is_marked, CASE WHEN is_marked THEN least($1, (
               SELECT min(r.floor) FROM unnest($2::bigint[], $3::bigint[]) AS r (xid, floor)
               WHERE pg_visible_in_snapshot(r.xid::text::xid8, pg_current_snapshot()))) ELSE -1 END AS place
    FROM (SELECT $4::text IS NULL OR current_setting('aftercommit.scanned', true) IS NOT DISTINCT FROM $4 AS is_marked) AS session
)"
    };
}

/// What a scan says of itself. It marks its session.
macro_rules! seen {
    () => {
        "(SELECT is_marked FROM start) AS is_marked, (SELECT pg_current_snapshot()::text) AS snapshot,
       (SELECT set_config('aftercommit.scanned', $4, false) FROM start WHERE NOT is_marked) AS marked"
    };
}

statements! {
    /// The first row that is there. Also says how many pages of the table and its index that touched, and the number that was given
    /// to a change last.
    FIRST_IN_INBOX = concat!("-- first_in_inbox
", start!(), ", first AS MATERIALIZED (
    SELECT (SELECT place FROM observer_inbox WHERE place > (SELECT place FROM start) ORDER BY place, seq LIMIT 1) AS place
)
SELECT place, coalesce(pg_sequence_last_value('observer_events_seq'::regclass), 0) AS number,
       pg_stat_get_xact_blocks_fetched('observer_inbox'::regclass)
              + pg_stat_get_xact_blocks_fetched('observer_inbox_pkey'::regclass) AS pages,
       ", seen!(), "
FROM first");
    /// Images are read only as far as there is room for them; what they have in bytes is known without reading them.
    READ_INBOX = concat!("-- read_inbox
", start!(), ", head AS MATERIALIZED (
    SELECT ctid AS at, place, seq, coalesce(octet_length(data), 0) + coalesce(octet_length(old), 0) AS bytes
    FROM observer_inbox WHERE place > (SELECT place FROM start) ORDER BY place, seq LIMIT $5 FOR UPDATE SKIP LOCKED
), fitting AS MATERIALIZED (
    SELECT at FROM (SELECT at, sum(bytes) OVER (ORDER BY place, seq) AS upto, row_number() OVER (ORDER BY place, seq) AS n
                    FROM head) AS s
    WHERE upto <= $6 OR n = 1
)
SELECT i.place, i.seq, i.id AS event_id, i.entity_type, i.entity_id, i.event_kind, i.occurred_at, i.data, i.old, i.changed,
       i.tenant_id, i.actor, i.traceparent, i.problem, CASE WHEN i.event_kind IS NULL AND i.id IS NULL THEN coalesce(i.event_seq, i.seq) END AS points_at,
       (SELECT count(*) FROM head) AS found, ", seen!(), "
FROM observer_inbox AS i
WHERE i.ctid = ANY (ARRAY(SELECT at FROM fitting))
ORDER BY i.place, i.seq");
    /// Where the first row is, without reading what it holds.
    FIRST_ROW = concat!("-- first_row
", start!(), "
SELECT place, seq FROM observer_inbox WHERE place > (SELECT place FROM start) ORDER BY place, seq LIMIT 1
FOR UPDATE SKIP LOCKED");
}

/// What was read from the inbox, in order.
pub(super) struct Inbox {
    /// All rows below it were taken, once these are.
    pub(super) watermark: Watermark,
    pub(super) more: bool,
    pub(super) changes: Vec<Change>,
    /// Events that are there already.
    pub(super) pointed_at: Vec<TakenEvent>,
    /// Rows that point at an event, with its seq.
    pub(super) pointers: Vec<(Place, i64)>,
    pub(super) rejected: Vec<(Aside, Rejected)>,
}

/// A change that became an event.
pub(super) struct Change {
    pub(super) place: Place,
    pub(super) event: EntityEvent,
    pub(super) bytes: usize,
}

/// Whether there is a row.
pub(super) async fn has_rows(session: &mut Session<'_>, progress: &Progress, watch: &Watch) -> Result<bool> {
    let began = Instant::now();
    let scan = progress.look(began);
    let Some(record) = call(FIRST_IN_INBOX, &scan.from, Some(scan.mark)).optional(session).await? else {
        return Ok(false);
    };
    watch.looked(record.get("number")?);
    progress.looked(&scan, record.get("pages")?, began.elapsed(), Instant::now());
    let Some(place) = record.get::<Option<i64>>("place")? else { return Ok(false) };
    progress.set(raised(&scan, &record, place - 1)?);
    Ok(true)
}

/// The place of the first row, which is locked.
pub(super) async fn first(session: &mut Session<'_>, scan: &Scan<'_>) -> Result<Option<Place>> {
    let record = call(FIRST_ROW, &scan.from, Some(scan.mark)).optional(session).await?;
    record.map(|record| Ok(Place { place: record.get("place")?, seq: record.get("seq")? })).transpose()
}

/// Reads and locks the first rows. `None` when there is nothing.
pub(super) async fn read(
    session: &mut Session<'_>,
    scan: &Scan<'_>,
    request: TakeRequest,
) -> Result<Option<Inbox>> {
    let records = rows(call(READ_INBOX, &scan.from, Some(scan.mark)), session, request).await?;
    let Some(last) = records.last() else { return Ok(None) };
    let found: i64 = last.get("found")?;
    let all = records.len() < request.limit && i64::try_from(records.len()).is_ok_and(|read| read == found);
    let place: i64 = last.get("place")?;
    // More rows of a statement may have the place of the last one.
    let watermark = raised(scan, last, if all { place } else { place - 1 })?;
    Ok(Some(inbox(session, records, watermark, !all).await?))
}

/// Reads the first row at this place, which is locked.
pub(super) async fn read_at(
    session: &mut Session<'_>,
    place: Place,
    request: TakeRequest,
) -> Result<Option<Inbox>> {
    let watermark = Watermark::before(place.place);
    let request = TakeRequest { limit: 1, ..request };
    let records = rows(call(READ_INBOX, &watermark, None), session, request).await?;
    if records.is_empty() {
        return Ok(None);
    }
    Ok(Some(inbox(session, records, watermark, true).await?))
}

/// A statement that begins with [`start`]; without a mark, at this watermark whatever the session has scanned.
fn call(statement: Statement, from: &Watermark, mark: Option<&str>) -> Call {
    let (xids, floors) = from.running();
    statement.call().bind(from.place()).bind(xids).bind(floors).bind(mark.map(str::to_owned))
}

async fn rows(call: Call, session: &mut Session<'_>, request: TakeRequest) -> Result<Vec<Record>> {
    call.bind_limit(request.limit).bind_limit(request.max_bytes).all(session).await
}

fn raised(scan: &Scan<'_>, record: &Record, place: i64) -> Result<Watermark> {
    Ok(scan.raised(place, record.get("snapshot")?, record.get("is_marked")?))
}

async fn inbox(
    session: &mut Session<'_>,
    records: Vec<Record>,
    watermark: Watermark,
    more: bool,
) -> Result<Inbox> {
    let mut inbox = Inbox {
        watermark,
        more,
        changes: Vec::with_capacity(records.len()),
        pointed_at: Vec::new(),
        pointers: Vec::new(),
        rejected: Vec::new(),
    };
    for record in &records {
        let place = Place { place: record.get("place")?, seq: record.get("seq")? };
        if let Some(event_seq) = record.get::<Option<i64>>("points_at")? {
            inbox.pointers.push((place, event_seq));
            continue;
        }
        match event_row::read_change(record)? {
            Ok(event) => inbox.changes.push(Change { place, event, bytes: event_row::bytes(record) }),
            Err(rejected) => inbox.rejected.push((Aside::Inbox(place), rejected)),
        }
    }
    drop(records);
    follow(session, &mut inbox).await?;
    Ok(inbox)
}

/// Reads the events that rows of the inbox point at.
async fn follow(session: &mut Session<'_>, inbox: &mut Inbox) -> Result<()> {
    let seqs: Vec<i64> = inbox.pointers.iter().map(|(_, event_seq)| *event_seq).collect();
    let mut found = event_row::read_by_seq(session, &seqs).await?;
    for seq in seqs {
        match found.remove(&seq) {
            Some((Ok(event), bytes)) => {
                inbox.pointed_at.push(TakenEvent { seq, event: Arc::new(event), bytes });
            }
            Some((Err(rejected), _)) => inbox.rejected.push((Aside::Event(seq), rejected)),
            None => inbox.rejected.push((Aside::Event(seq), event_row::missing())),
        }
    }
    Ok(())
}
