//! The inbox as it is read before the write lock is taken: its first rows, the events that they are, and what these set
//! off. Reading, parsing and conditions take as long as rows are large, and the application must not wait for that. Whoever takes the rows
//! looks under the lock whether they still are what was read.

use std::{collections::HashMap, sync::Arc};

use aftercommit_core::Timestamp;
use rusqlite::Connection;

use super::{
    event_row,
    inbox_row::{self, InboxEvent},
    piece, quarantine,
    statement::{Call, Record, rows_as_json, statements},
};
use crate::{
    Plan, Result,
    intake_batch::{PlannedEvent, Rejected},
    row::Row as _,
};

/// What tells a row from another that has its number, and from the same row after somebody changed it. It is read from the row's header:
/// no image is loaded. Triggers of older programs write the event themselves, and its seq here.
macro_rules! marks {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "
SELECT i.seq, i.id,
       CAST(coalesce(i.event_seq, iif(i.entity_type IS NULL AND i.id IS NULL, i.seq, NULL)) AS INTEGER) AS event_seq,
       i.pending IS NOT NULL AS pending,
       coalesce(octet_length(i.data), 0) + coalesce(octet_length(i.old), 0)
       + coalesce(octet_length(e.data), 0) + coalesce(octet_length(e.old), 0) AS bytes
FROM observer_inbox AS i
     LEFT JOIN observer_events AS e
            ON e.seq = coalesce(i.event_seq, iif(i.entity_type IS NULL AND i.id IS NULL, i.seq, NULL))
",
            $rest
        )
    };
}

statements! {
    INBOX_MARKS = marks!("inbox_marks", "ORDER BY i.seq LIMIT ?1");
    MARKS_OF = marks!("marks_of", "WHERE i.seq IN (SELECT value FROM json_each(?1))");
    READ_INBOX = "-- read_inbox
SELECT i.seq, i.old_id,
       coalesce(e.id, i.id) AS event_id, coalesce(e.entity_type, i.entity_type) AS entity_type,
       coalesce(e.entity_id, i.entity_id) AS entity_id, coalesce(e.event_kind, i.event_kind) AS event_kind,
       coalesce(e.occurred_at, i.occurred_at) AS occurred_at, coalesce(e.data, i.data) AS data,
       coalesce(e.old, i.old) AS old, coalesce(e.changed, i.changed) AS changed,
       coalesce(e.tenant_id, i.tenant_id) AS tenant_id, coalesce(e.actor, i.actor) AS actor,
       coalesce(e.traceparent, i.traceparent) AS traceparent
FROM observer_inbox AS i
     LEFT JOIN observer_events AS e
            ON e.seq = coalesce(i.event_seq, iif(i.entity_type IS NULL AND i.id IS NULL, i.seq, NULL))
WHERE i.seq BETWEEN ?1 AND ?2 ORDER BY i.seq";
}

/// The first rows, as they were read.
pub(super) struct Raw {
    rows: Vec<(Mark, Record)>,
    /// Whether there are others behind them.
    more: bool,
}

/// The first rows, ready to be taken.
pub(super) struct Inbox {
    pub(super) rows: Arc<[InboxRow]>,
    /// Whether there are others behind them.
    pub(super) more: bool,
}

/// A row that is ready to be taken.
pub(super) struct InboxRow {
    pub(super) mark: Mark,
    pub(super) content: Content,
}

/// Which row it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) seq: i64,
    id: Option<Vec<u8>>,
    /// The event that the row points at.
    pub(super) event_seq: Option<i64>,
    pending: bool,
    /// Bytes of the images.
    bytes: usize,
}

/// What a row holds.
pub(super) enum Content {
    /// The place of a change that was not made.
    Nothing,
    /// An event of `observer_events`, to be matched again.
    Pointer { event_seq: i64, event: Box<std::result::Result<PlannedEvent, Rejected>> },
    /// Events that are to be written: one, or two for an update of the key.
    Images(Vec<Image>),
}

/// An event that is to be written, or what goes to the quarantine in its stead.
pub(super) struct Image {
    pub(super) write: Call,
    pub(super) event: std::result::Result<PlannedEvent, Rejected>,
}

/// Reads the first rows, of no more than so many bytes; a larger one alone. The connection is in a transaction, so that
/// both statements see the same.
pub(super) fn read(moment: &Connection, limit: usize, max_bytes: usize) -> Result<Raw> {
    let records = INBOX_MARKS.call().bind_limit(limit).all(moment)?;
    let marks = records.iter().map(Mark::read).collect::<Result<Vec<_>>>()?;
    let mut left = max_bytes;
    let fitting = marks.iter().enumerate().take_while(|(n, mark)| {
        let fits = *n == 0 || mark.bytes <= left;
        left = left.saturating_sub(mark.bytes);
        fits
    });
    let wanted = fitting.count();
    let more = wanted == limit || wanted < marks.len();
    let (Some(first), Some(last)) = (marks.first(), marks[..wanted].last()) else {
        return Ok(Raw { rows: Vec::new(), more: false });
    };
    let records = READ_INBOX.call().bind(first.seq).bind(last.seq).all(moment)?;
    Ok(Raw { rows: marks.into_iter().zip(records).collect(), more })
}

/// Reads the row with this number; `None` when it is gone.
pub(super) fn read_one(connection: &Connection, seq: i64) -> Result<Option<(Mark, Record)>> {
    let mark = MARKS_OF.call().bind(rows_as_json(&[seq])).optional(connection)?;
    let record = READ_INBOX.call().bind(seq).bind(seq).optional(connection)?;
    mark.zip(record).map(|(mark, record)| Ok((Mark::read(&mark)?, record))).transpose()
}

/// Whether all of these rows still are what was read.
pub(super) fn is_unchanged(connection: &Connection, rows: &[InboxRow]) -> Result<bool> {
    let seqs: Vec<_> = rows.iter().map(|row| row.mark.seq).collect();
    let mut present = HashMap::with_capacity(rows.len());
    for record in MARKS_OF.call().bind(rows_as_json(&seqs)).all(connection)? {
        let mark = Mark::read(&record)?;
        present.insert(mark.seq, mark);
    }
    Ok(rows.iter().all(|row| present.get(&row.mark.seq) == Some(&row.mark)))
}

impl Raw {
    /// Makes events of the rows and evaluates the conditions.
    pub(super) fn plan(self, plan: &dyn Plan, now: Timestamp) -> Result<Inbox> {
        let rows = self.rows.into_iter().map(|(mark, record)| {
            let content = content(&mark, &record, plan, now)?;
            Ok(InboxRow { mark, content })
        });
        Ok(Inbox { rows: rows.collect::<Result<_>>()?, more: self.more })
    }
}

impl InboxRow {
    /// The row's part in a piece: what is made of it costs about half of what the row itself does.
    pub(super) fn weight(&self) -> usize {
        let of = |event: &std::result::Result<PlannedEvent, Rejected>| {
            event.as_ref().map_or(1, |event| event.planned.deliveries.len() + event.planned.errors.len())
        };
        match &self.content {
            Content::Nothing => 1,
            Content::Pointer { event, .. } => 1 + of(event) / 2,
            Content::Images(images) => {
                piece::weight(self.mark.bytes)
                    + images.iter().map(|image| of(&image.event)).sum::<usize>() / 2
            }
        }
    }
}

impl Mark {
    fn read(record: &Record) -> Result<Self> {
        Ok(Self {
            seq: record.integer("seq")?,
            id: record.get::<Option<&[u8]>>("id")?.map(<[u8]>::to_vec),
            event_seq: record.optional_integer("event_seq")?,
            pending: record.flag("pending")?,
            bytes: usize::try_from(record.integer("bytes")?).unwrap_or(usize::MAX),
        })
    }
}

fn content(mark: &Mark, record: &Record, plan: &dyn Plan, now: Timestamp) -> Result<Content> {
    if mark.pending {
        return Ok(Content::Nothing);
    }
    if let Some(event_seq) = mark.event_seq {
        let columns = event_row::columns(record)?;
        let event = match columns.assemble() {
            Ok(event) => Ok(PlannedEvent::of(Arc::new(event), columns.bytes(), plan)),
            Err(reason) => Err(columns.rejected(reason)),
        };
        return Ok(Content::Pointer { event_seq, event: Box::new(event) });
    }
    let images = inbox_row::events(record)?.into_iter().map(|InboxEvent { columns, event }| match event {
        Ok(event) => Image {
            event: Ok(PlannedEvent::of(Arc::new(event), columns.bytes(), plan)),
            write: event_row::write(&columns),
        },
        Err(row) => Image { write: quarantine::image(&columns, &row.reason, now), event: Err(row) },
    });
    Ok(Content::Images(images.collect()))
}
