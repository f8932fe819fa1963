//! `log`, and what a guest writes to its standard output: lines for the host's log, bounded for each attempt.

use std::{fmt::Write as _, sync::Arc};

use aftercommit_core::plain::one_line;
use parking_lot::Mutex;
use serde_json::Value;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::{
    bindings::aftercommit::action::log::{Host, Level},
    calling::guest::Guest,
    egress::Who,
};

impl Host for Guest {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.call.host_call()?;
        self.call.log.write(level, &message, &fields);
        Ok(())
    }
}

/// Where one attempt's lines go.
pub(crate) struct LogSink {
    who: Arc<Who>,
    delivery: String,
    max_lines: u64,
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: u64,
    bytes: u64,
    dropped: u64,
    /// The last line at error level: a panic's message, if a trap follows.
    last_error: Option<String>,
}

/// A kept error line is cut after that.
const LAST_ERROR_CHARS: usize = 500;

impl LogSink {
    /// Id of the delivery that the lines belong to.
    pub(crate) fn delivery(&self) -> &str {
        &self.delivery
    }

    pub(crate) fn new(who: Arc<Who>, delivery: String, max_lines: u64, max_bytes: u64) -> Arc<Self> {
        Arc::new(Self { who, delivery, max_lines, max_bytes, state: Mutex::default() })
    }

    /// Lines written and lines dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.lines, state.dropped)
    }

    /// The last line at error level.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.state.lock().last_error.clone()
    }

    fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let message = &*one_line(message);
        let Some(text) = self.admitted(level, message, self.fields(fields)) else { return };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "aftercommit::plugin",
                    plugin = self.who.plugin,
                    observer = self.who.observer,
                    action = self.who.action,
                    delivery_id = self.delivery,
                    fields = (text != "{}").then_some(&*text),
                    "{message}"
                )
            };
        }
        match level {
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error => line!(error),
        }
    }

    /// The fields as they are logged, a JSON object, unless they alone are more than may be logged. Written out, a field is longer than its
    /// name and value, also where both are empty.
    fn fields(&self, fields: &[(String, String)]) -> Option<String> {
        let mut text = "{".to_owned();
        for (name, value) in fields {
            if (text.len() + name.len() + value.len()) as u64 > self.max_bytes {
                return None;
            }
            let comma = if text.len() > 1 { "," } else { "" };
            let _ = write!(text, "{comma}{}:{}", Value::from(name.as_str()), Value::from(value.as_str()));
        }
        Some(text + "}")
    }

    /// The fields of a line that is logged; `fields` are none where they are too many.
    fn admitted(&self, level: Level, message: &str, fields: Option<String>) -> Option<String> {
        let mut state = self.state.lock();
        if level == Level::Error {
            state.last_error = Some(message.chars().take(LAST_ERROR_CHARS).collect());
        }
        let room = self.max_bytes.saturating_sub(state.bytes);
        let size = |fields: &String| (message.len() + fields.len()) as u64;
        let fields = fields.filter(|fields| state.lines < self.max_lines && size(fields) <= room);
        let Some(fields) = fields else {
            state.dropped += 1;
            if state.dropped == 1 {
                tracing::warn!(
                    plugin = self.who.plugin,
                    observer = self.who.observer,
                    delivery_id = self.delivery,
                    "a plugin logs more than its limit; further lines of this attempt are dropped"
                );
            }
            return None;
        };
        state.lines += 1;
        state.bytes += size(&fields);
        Some(fields)
    }

    /// A standard stream that ends here, a line a line.
    pub(crate) fn stream(self: &Arc<Self>, error: bool) -> GuestOutput {
        GuestOutput { sink: Arc::clone(self), error }
    }
}

/// A guest's standard output or standard error.
#[derive(Clone)]
pub(crate) struct GuestOutput {
    sink: Arc<LogSink>,
    error: bool,
}

/// Most bytes taken in one write.
const WRITE_BYTES: usize = 64 << 10;

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Asked for by WASI 0.3 only.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let level = if self.error { Level::Error } else { Level::Info };
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
            self.sink.write(level, line, &[]);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_dropped_and_counted() {
        let sink = LogSink::new(Arc::default(), String::new(), 3, 100);
        for _ in 0..5 {
            sink.write(Level::Info, "0123456789", &[]);
        }
        assert_eq!(sink.counts(), (3, 2));
        let sink = LogSink::new(Arc::default(), String::new(), 100, 25);
        for _ in 0..5 {
            sink.write(Level::Error, "0123456789", &[]);
        }
        assert_eq!(sink.counts(), (2, 3));
        assert_eq!(sink.last_error().as_deref(), Some("0123456789"));
    }

    #[test]
    fn fields_count_as_they_are_written() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sink = LogSink::new(Arc::default(), String::new(), 100, 100);
        sink.write(Level::Info, "", &vec![field("", ""); 1_000_000]);
        sink.write(Level::Info, "", &[field("a", &"\u{1b}".repeat(30))]);
        assert_eq!(
            sink.counts(),
            (0, 2),
            "empty fields have their signs, and control characters are written out"
        );
        sink.write(Level::Info, "", &[field("a", "1"), field("b", "")]);
        assert_eq!(sink.counts(), (1, 2));
    }
}
