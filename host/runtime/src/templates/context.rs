//! What a template sees of an event.

use aftercommit_core::EntityEvent;
use handlebars::Context;
use serde_json::{Map, Value};

/// The row's fields, and the event's own names over them.
pub(crate) fn context(event: &EntityEvent) -> Context {
    let mut names = match &event.data {
        Value::Object(row) => row.clone(),
        _ => Map::new(),
    };
    let mut set = |name: &str, value: Value| {
        names.insert(name.to_owned(), value);
    };
    set("event_id", event.id.to_string().into());
    set("entity_type", event.entity_type.clone().into());
    set("entity_id", event.entity_id.clone().into());
    set("event_kind", event.event_kind.as_str().into());
    set("occurred_at", event.occurred_at.to_string().into());
    set("changed", event.changed.clone().into());
    set("data", event.data.clone());
    match &event.old {
        Some(old) => set("old", old.clone()),
        // A field of the row that is called so must not be taken for the row before.
        None => {
            names.remove("old");
        }
    }
    Context::from(Value::Object(names))
}
