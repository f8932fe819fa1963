//! What one line of the log holds: the fields of an event, and under them those of its spans.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatFields as _, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::LookupSpan,
};

/// The target of what plugins write.
const PLUGIN: &str = "aftercommit::plugin";

/// The fields of an event by name, each once: what is nearer to the event goes before what its spans say. `message` is one of them. What a
/// plugin calls fields is an object under `fields`, so that none of them is taken for one of the host's.
pub(super) fn of<S: Subscriber + for<'a> LookupSpan<'a>>(
    context: &FmtContext<'_, S, JsonFields>,
    event: &Event<'_>,
) -> Result<Map<String, Value>, fmt::Error> {
    let mut line = Map::new();
    let mut fields = String::new();
    context.field_format().format_fields(Writer::new(&mut fields), event)?;
    add_missing(&mut line, &fields);
    // From the innermost span outwards.
    for span in context.event_scope().into_iter().flatten() {
        if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
            add_missing(&mut line, fields);
        }
    }
    if event.metadata().target() == PLUGIN
        && let Some(fields) = line.get_mut("fields")
        && let Some(object) = fields.as_str().and_then(|text| serde_json::from_str(text).ok())
    {
        *fields = Value::Object(object);
    }
    Ok(line)
}

/// Adds the fields of a formatted object that the line does not have yet.
fn add_missing(line: &mut Map<String, Value>, fields: &str) {
    // Empty for a span without fields.
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(fields) else { return };
    for (name, value) in fields {
        line.entry(name).or_insert(value);
    }
}
