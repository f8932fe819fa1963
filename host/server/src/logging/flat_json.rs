//! One JSON object a line: the fields of an event, and under them those of its spans.
//!
//! An attempt runs in a span that carries its delivery, event, observer and action, so every line of an attempt can be
//! found by them, also one that a library below wrote.

use std::fmt;

use aftercommit_core::plain::plain_json;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent,
        format::{JsonFields, Writer},
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use super::fields;

/// Formats events; the fields of spans must be formatted by [`JsonFields`].
pub(super) struct FlatJson;

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for FlatJson {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("timestamp".to_owned(), Value::String(time));
        line.insert("level".to_owned(), Value::String(event.metadata().level().to_string()));
        line.insert("target".to_owned(), Value::String(event.metadata().target().to_owned()));

        for (name, value) in fields::of(context, event)? {
            // A field never replaces what the line is.
            line.entry(name).or_insert(value);
        }
        writeln!(writer, "{}", plain_json(&Value::Object(line).to_string()))
    }
}
