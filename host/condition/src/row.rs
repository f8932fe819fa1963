//! What a condition is evaluated on: the two images of a row and what changed between them.

use aftercommit_core::{EntityEvent, EventKind};
use serde_json::Value;

use crate::syntax::Image;

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
}

impl<'a> Row<'a> {
    /// The image that a field is looked up in; `None` when this kind of change has no such image.
    pub(crate) fn image(&self, image: Option<Image>) -> Option<&'a Value> {
        match (image, self.kind) {
            (None, _)
            | (Some(Image::New), EventKind::Created | EventKind::Updated | EventKind::Custom)
            | (Some(Image::Old), EventKind::Deleted) => Some(self.data),
            (Some(Image::Old), EventKind::Updated | EventKind::Custom) => self.old,
            (Some(Image::Old), EventKind::Created) | (Some(Image::New), EventKind::Deleted) => None,
        }
    }
}

impl<'a> From<&'a EntityEvent> for Row<'a> {
    fn from(event: &'a EntityEvent) -> Self {
        Self { kind: event.event_kind, data: &event.data, old: event.old.as_ref(), changed: &event.changed }
    }
}
