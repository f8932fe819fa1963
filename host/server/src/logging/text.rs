//! Lines for people: time, level, message, and each field once.

use std::fmt;

use aftercommit_core::plain::{one_line, plain};
use serde_json::Value;
use tracing::{Event, Level, Subscriber};
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
pub(super) struct Text;

/// Stands before the further lines of a message: none of them can be taken for another entry of the log.
const INDENT: &str = "\n      | ";

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for Text {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = fields::of(context, event)?;
        SystemTime.format_time(&mut writer)?;
        let level = event.metadata().level();
        match color(*level).filter(|_| writer.has_ansi_escapes()) {
            Some(color) => write!(writer, " \u{1b}[{color}m{level:>5}\u{1b}[0m")?,
            None => write!(writer, " {level:>5}")?,
        }
        if let Some(message) = fields.remove("message") {
            let message = text_of(&message);
            write!(writer, " {}", plain(message.trim_end_matches(['\r', '\n'])).replace('\n', INDENT))?;
        }
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_object()) {
            write!(writer, " {}={}", one_line(name), word(&text_of(value)))?;
        }
        for (name, inner) in fields.iter().filter_map(|(name, value)| Some((name, value.as_object()?))) {
            // What the host says already is not said again.
            for (key, value) in inner.iter().filter(|(key, value)| fields.get(*key) != Some(*value)) {
                write!(writer, " {}.{}={}", one_line(name), word(key), word(&text_of(value)))?;
            }
        }
        writeln!(writer)
    }
}

const fn color(level: Level) -> Option<u8> {
    match level {
        Level::ERROR => Some(31),
        Level::WARN => Some(33),
        Level::INFO => Some(32),
        Level::DEBUG => Some(34),
        Level::TRACE => None,
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// A text as it is if it is one word, else in quotes.
fn word(text: &str) -> String {
    let is_word = |letter: char| letter.is_alphanumeric() || "_-.:/@+,#%".contains(letter);
    if !text.is_empty() && text.chars().all(is_word) {
        return text.to_owned();
    }
    let escaped =
        text.replace('\\', "\\\\").replace('"', "\\\"").replace("\r\n", "\\n").replace(['\r', '\n'], "\\n");
    format!("\"{}\"", plain(&escaped.replace('\t', "\\t")))
}
