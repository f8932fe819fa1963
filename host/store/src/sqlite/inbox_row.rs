//! Rows of the inbox as the events that they are: one, or two for an update of the key. Nothing in them is taken for granted.

use aftercommit_core::{
    EntityEvent, Timestamp,
    event::{captured_id, captured_place},
};
use uuid::Uuid;

use super::{
    event_row::{self, Columns},
    image,
    statement::Record,
};
use crate::{Result, intake_batch::Rejected};

/// One event of a row, as it is to be written.
pub(super) struct InboxEvent<'r> {
    pub(super) columns: Columns<'r>,
    /// The event, or why it is none.
    pub(super) event: std::result::Result<EntityEvent, Rejected>,
}

/// The events of a row that has its images itself. It has the columns of `observer_inbox`, `id` as `event_id`.
pub(super) fn events(record: &Record) -> Result<Vec<InboxEvent<'_>>> {
    let written = event_row::columns(record)?;
    let seq: i64 = record.get("seq")?;
    let is_captured = written.id.is_none();
    let old_id: Option<&[u8]> = record.get("old_id")?;
    if !is_captured {
        return Ok(vec![finished(written, None)]);
    }
    let occurred_at = Timestamp::from_micros(seq);
    let part = |part: i32| Columns {
        id: Some(captured_id(occurred_at, seq, part).to_string().into_bytes().into()),
        occurred_at: Some(occurred_at.to_string().into_bytes().into()),
        ..written.clone()
    };
    let is_update = written.event_kind.as_deref() == Some(b"updated");
    if is_update && old_id != written.entity_id.as_deref() {
        let deleted = Columns {
            event_kind: Some(b"deleted".as_slice().into()),
            entity_id: old_id.map(Into::into),
            data: written.old.clone(),
            old: None,
            ..part(0)
        };
        let created = Columns { event_kind: Some(b"created".as_slice().into()), old: None, ..part(1) };
        return Ok(vec![finished(deleted, None), finished(created, None)]);
    }
    let lacks_old = (is_update && written.old.is_none()).then_some("the row before the update");
    Ok(vec![finished(part(0), lacks_old)])
}

/// The number and the part of the captured change that has this id, if it still is in the inbox.
pub(super) fn place_of(id: Uuid) -> Option<(i64, i32)> {
    let (occurred_at, low, part) = captured_place(id)?;
    let seq = occurred_at.as_micros();
    (captured_id(occurred_at, seq, part) == captured_id(occurred_at, low, part)).then_some((seq, part))
}

fn finished<'r>(columns: Columns<'r>, lacks: Option<&str>) -> InboxEvent<'r> {
    let lacks = if columns.data.is_none() && columns.event_kind.is_some() { Some("the row") } else { lacks };
    let mut columns = columns;
    let read = [&mut columns.data, &mut columns.old].into_iter().try_for_each(image::to_json);
    let event = match (read, lacks) {
        (Err(reason), _) => Err(reason),
        (_, Some(what)) if columns.entity_id.is_some() => Err(format!(
            "{what} is too large: an image has values of at most {} bytes",
            super::row_json::MAX_IMAGE_BYTES
        )),
        _ => columns.assemble(),
    };
    let event = event.map_err(|reason| columns.rejected(reason));
    InboxEvent { columns, event }
}
