//! One JSON object a line: the fields of an event, and under them those of its spans.
//!
//! An attempt runs in a span that carries its delivery, event, observer and action, so every line of an attempt can be
//! found by them, also one that a library below wrote.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

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

        let mut fields = String::new();
        context.field_format().format_fields(Writer::new(&mut fields), event)?;
        add_missing(&mut line, &fields);
        // From the innermost span outwards: what is nearer to the event wins.
        let scope = context.event_scope().into_iter().flatten();
        for span in scope {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                add_missing(&mut line, fields);
            }
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Adds the fields of a formatted object that the line does not have yet.
fn add_missing(line: &mut Map<String, Value>, fields: &str) {
    // Empty for a span without fields.
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(fields) else { return };
    for (name, value) in fields {
        line.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The one line that `log` writes.
    fn logged(log: impl FnOnce()) -> Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_carries_the_fields_of_its_spans() {
        let line = logged(|| {
            let _outer =
                tracing::info_span!("delivery", delivery_id = "d1", attempt = 2, code = "outer").entered();
            let _inner = tracing::info_span!("request").entered();
            tracing::warn!(code = "timeout", "attempt failed:\n\u{1b}[31m");
        });
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("message", Value::from("attempt failed:\n\u{1b}[31m")),
            ("delivery_id", Value::from("d1")),
            ("attempt", Value::from(2)),
            ("code", Value::from("timeout")),
        ] {
            assert_eq!(line[name], value, "{name} in {line}");
        }
    }

    #[test]
    fn a_field_never_replaces_what_the_line_is() {
        let line = logged(|| tracing::info!(level = "none", target = "elsewhere", "ready"));
        assert_eq!(line["level"], "INFO");
        assert!(line["target"].as_str().unwrap().ends_with("flat_json::tests"), "{line}");
    }
}
