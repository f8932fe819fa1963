//! The event of tests to which it does not matter what happened.

use std::sync::Arc;

use aftercommit_core::{EntityEvent, EventKind};
use serde_json::json;

/// An order came, of which nothing is known.
pub(crate) fn event() -> Arc<EntityEvent> {
    Arc::new(EntityEvent::new(EventKind::Created, "Order", 1, json!({})))
}
