//! What a condition is evaluated on: the two images of a row, what changed between them, and what the event knows
//! beside them.

use std::fmt::{self, Write as _};

use aftercommit_core::{EntityEvent, EventKind, Timestamp};
use serde_json::Value;

use crate::syntax::{EventField, Image};

/// One row change, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// What happened to the row.
    pub kind: EventKind,
    /// The row after the change; for `deleted`, the row before it.
    pub data: &'a Value,
    /// The row before an update.
    pub old: Option<&'a Value>,
    /// Names of the row's own fields whose value differs between the images.
    pub changed: &'a [String],
    /// What the event knows beside the row.
    pub event: EventContext<'a>,
}

/// What an event knows beside the row: the fields of `EVENT` but for the kind, which the row has.
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a> {
    /// For example `Order`.
    pub entity_type: &'a str,
    /// The key as text.
    pub entity_id: &'a str,
    /// When the change happened.
    pub occurred_at: Timestamp,
    /// The tenant, if the source knows one.
    pub tenant_id: Option<&'a str>,
    /// Who made the change, if the source knows.
    pub actor: Option<&'a str>,
    /// W3C Trace Context, if the change was part of a trace.
    pub traceparent: Option<&'a str>,
}

impl<'a> From<&'a EntityEvent> for Row<'a> {
    fn from(event: &'a EntityEvent) -> Self {
        Self {
            kind: event.event_kind,
            data: &event.data,
            old: event.old.as_ref(),
            changed: &event.changed,
            event: EventContext::from(event),
        }
    }
}

impl<'a> From<&'a EntityEvent> for EventContext<'a> {
    fn from(event: &'a EntityEvent) -> Self {
        Self {
            entity_type: &event.entity_type,
            entity_id: &event.entity_id,
            occurred_at: event.occurred_at,
            tenant_id: event.tenant_id.as_deref(),
            actor: event.actor.as_deref(),
            traceparent: event.traceparent.as_deref(),
        }
    }
}

/// A row change with all its values as they are compared: the time of the event is a text too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) row: Row<'a>,
    /// Empty when the condition does not ask for it.
    pub(crate) occurred_at: &'a str,
}

impl<'a> Subject<'a> {
    /// The image that a field is looked up in; `None` when this kind of change has no such image.
    pub(crate) fn image(&self, image: Option<Image>) -> Option<&'a Value> {
        match (image, self.row.kind) {
            (None, _)
            | (Some(Image::New), EventKind::Created | EventKind::Updated | EventKind::Custom)
            | (Some(Image::Old), EventKind::Deleted) => Some(self.row.data),
            (Some(Image::Old), EventKind::Updated | EventKind::Custom) => self.row.old,
            (Some(Image::Old), EventKind::Created) | (Some(Image::New), EventKind::Deleted) => None,
        }
    }

    /// The text of a field of the event; `None` when it is absent.
    pub(crate) fn event_text(&self, field: EventField) -> Option<&'a str> {
        match field {
            EventField::Actor => self.row.event.actor,
            EventField::TenantId => self.row.event.tenant_id,
            EventField::Traceparent => self.row.event.traceparent,
            EventField::EntityType => Some(self.row.event.entity_type),
            EventField::EntityId => Some(self.row.event.entity_id),
            EventField::EventKind => Some(self.row.kind.as_str()),
            EventField::OccurredAt => Some(self.occurred_at),
        }
    }
}

/// Room for a time as text, on the stack: evaluation allocates nothing.
#[derive(Debug)]
pub(crate) struct TimeText {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl TimeText {
    /// The longest time has 27 bytes; one that is beyond the calendar is written as a number of at most 22.
    const CAPACITY: usize = 40;

    pub(crate) fn new(at: Timestamp) -> Self {
        let mut text = Self { bytes: [0; Self::CAPACITY], length: 0 };
        let written = write!(text, "{at}");
        debug_assert!(written.is_ok(), "a time fits");
        text
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for TimeText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_room() {
        for micros in
            [0, 1_767_225_600_000_500, i64::MAX, i64::MIN, -62_135_596_800_000_000, -377_705_023_201_000_000]
        {
            let at = Timestamp::from_micros(micros);
            assert_eq!(TimeText::new(at).as_str(), at.to_string());
        }
    }
}
