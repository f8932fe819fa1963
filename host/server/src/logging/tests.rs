use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use aftercommit_core::plain::is_obeyed;
use proptest::prelude::*;
use serde_json::Value;
use tracing_subscriber::{fmt::format::JsonFields, layer::SubscriberExt as _};

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

/// What `log` writes.
fn written(format: LogFormat, log: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .with_ansi(false)
        .with_writer(move || writer.clone());
    match format {
        LogFormat::Json => {
            let log_to = tracing_subscriber::registry().with(layer.event_format(FlatJson));
            tracing::subscriber::with_default(log_to, log);
        }
        LogFormat::Text => {
            let log_to = tracing_subscriber::registry().with(layer.event_format(Text));
            tracing::subscriber::with_default(log_to, log);
        }
    }
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

/// The one line that `log` writes.
fn logged(log: impl FnOnce()) -> Value {
    let text = written(LogFormat::Json, log);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn an_attempt() {
    let _outer = tracing::info_span!("delivery", delivery_id = "d1", attempt = 2, code = "outer").entered();
    let _inner = tracing::info_span!("request").entered();
    tracing::warn!(code = "timeout", delivery_id = "d1", "attempt failed:\n\u{1b}[31m");
}

#[test]
fn a_line_carries_the_fields_of_its_spans() {
    let line = logged(an_attempt);
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
    assert!(line["target"].as_str().unwrap().ends_with("logging::tests"), "{line}");
}

#[test]
fn a_line_of_text_has_each_field_once() {
    let text = written(LogFormat::Text, an_attempt);
    let (_, rest) = text.split_once(' ').unwrap();
    assert_eq!(rest, " WARN attempt failed:\n      | \u{fffd}[31m code=timeout delivery_id=d1 attempt=2\n");
}

#[test]
fn the_fields_of_a_plugin_stay_fields_and_are_no_others() {
    let log = || {
        let fields = r#"{"observer":"forged","action":"a","k y":"a\nb"}"#;
        tracing::info!(target: "aftercommit::plugin", observer = "mine", action = "a", fields, "hello");
    };
    let line = logged(log);
    assert_eq!(line["observer"], "mine");
    assert_eq!(line["fields"], serde_json::json!({"observer": "forged", "action": "a", "k y": "a\nb"}));
    let text = written(LogFormat::Text, log);
    assert!(
        text.ends_with(
            " INFO hello action=a observer=mine fields.observer=forged fields.\"k y\"=\"a\\nb\"\n"
        ),
        "{text}"
    );
}

proptest! {
    #[test]
    fn no_line_can_be_forged_and_no_terminal_obeys(message in any::<String>(), field in any::<String>()) {
        let log = || tracing::error!(field, "{message}");
        let text = written(LogFormat::Text, log);
        prop_assert!(!text.chars().any(is_obeyed));
        prop_assert!(text.lines().skip(1).all(|line| line.starts_with("      | ")), "{}", text);
        let json = written(LogFormat::Json, log);
        prop_assert!(!json.chars().any(is_obeyed));
        prop_assert_eq!(json.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(line["field"].as_str(), Some(field.as_str()));
    }
}
