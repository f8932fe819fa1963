//! What the log keeps of one attempt.
//!
//! The message of an attempt that succeeded may have a second part: its details, a JSON object on the last line.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{FailureClass, Timestamp};
use serde_json::{Map, Value};

/// One row of the attempt log.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Attempts before it is given up, replays included.
    pub max_attempts: u32,
    /// Absent when the attempt succeeded.
    pub class: Option<FailureClass>,
    /// A short stable word; absent when the attempt succeeded and nothing was denied.
    pub code: Option<String>,
    /// The outcome's summary, or what went wrong.
    pub message: String,
    /// The destination's status code, where it has one.
    pub http_status: Option<u16>,
    /// When the attempt started.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Name of the plugin that ran; absent when none did.
    pub plugin: Option<Arc<str>>,
    /// `sha256:..` of the plugin that ran.
    pub plugin_digest: Option<Arc<str>>,
}

impl AttemptRecord {
    /// The code of an attempt that succeeded although the host denied it something.
    pub const DENIED: &str = "denied";

    /// What a plugin says is kept up to this size; of larger details, their size is.
    pub const MAX_DETAILS_BYTES: usize = 4096;

    /// The message of an attempt that succeeded: the summary, and the details. Those of the plugin, a JSON object, and those of
    /// the host, which go before the plugin's of the same name.
    #[must_use]
    pub fn message_of(summary: &str, of_plugin: Option<&str>, of_host: Map<String, Value>) -> String {
        let details = of_plugin.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        let mut details = bounded(details.unwrap_or_default());
        details.extend(of_host);
        if details.is_empty() {
            return summary.to_owned();
        }
        format!("{summary}\n{}", Value::Object(details))
    }

    /// Details of the host: what was denied, and how often something was beside that.
    #[must_use]
    pub fn denied(first: Vec<String>, more: u64) -> Map<String, Value> {
        let mut details = Map::new();
        if !first.is_empty() {
            details.insert(Self::DENIED.to_owned(), first.into());
        }
        if more > 0 {
            details.insert("denied_more".to_owned(), more.into());
        }
        details
    }

    /// The summary and the details of such a message.
    pub(crate) fn parts_of(message: String) -> (String, Option<Map<String, Value>>) {
        let parts = message.rsplit_once('\n').filter(|(_, line)| line.starts_with('{'));
        let parsed =
            parts.and_then(|(summary, line)| Some((summary.to_owned(), serde_json::from_str(line).ok()?)));
        match parsed {
            Some((summary, details)) => (summary, Some(details)),
            None => (message, None),
        }
    }

    /// What was denied, as one text, by the details of an attempt with that code.
    pub(crate) fn denied_in(details: Option<&Map<String, Value>>) -> Option<String> {
        let denied = details?.get(Self::DENIED)?.as_array()?;
        let texts: Vec<_> = denied.iter().filter_map(Value::as_str).collect();
        (!texts.is_empty()).then(|| format!("denied: {}", texts.join("; ")))
    }
}

/// Details of a plugin, if they are not too large.
fn bounded(details: Map<String, Value>) -> Map<String, Value> {
    let value = Value::Object(details);
    match (value.to_string().len(), value) {
        (..=AttemptRecord::MAX_DETAILS_BYTES, Value::Object(details)) => details,
        (bytes, _) => Map::from_iter([("left_out_bytes".to_owned(), bytes.into())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(summary: &str, of_plugin: Option<&str>) -> String {
        AttemptRecord::message_of(summary, of_plugin, AttemptRecord::denied(Vec::new(), 0))
    }

    #[test]
    fn details_are_kept_with_every_digit_and_within_bounds() {
        let message = message_of("indexed\n1", Some("{\n \"task\": 1.50,\n \"b\": [\"x\\ny\"]}"));
        assert_eq!(message, "indexed\n1\n{\"task\":1.50,\"b\":[\"x\\ny\"]}");
        let (summary, details) = AttemptRecord::parts_of(message);
        assert_eq!((summary.as_str(), details.unwrap()["task"].to_string().as_str()), ("indexed\n1", "1.50"));
        for details in [None, Some("{}"), Some("[1]"), Some("{")] {
            assert_eq!(message_of("sent", details), "sent");
        }
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(AttemptRecord::MAX_DETAILS_BYTES));
        assert_eq!(message_of("sent", Some(&large)), "sent\n{\"left_out_bytes\":4104}");
        assert_eq!(AttemptRecord::parts_of("sent\n{no".to_owned()), ("sent\n{no".to_owned(), None));
    }
    #[test]
    fn what_was_denied_is_kept_whatever_the_plugin_says() {
        let denied = || AttemptRecord::denied(vec!["a: why".to_owned(), "b: why".to_owned()], 7);
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(AttemptRecord::MAX_DETAILS_BYTES));
        for (of_plugin, kept) in [
            (None, ""),
            (Some(r#"{"task":1}"#), r#""task":1,"#),
            (Some(r#"{"denied":"nothing"}"#), ""),
            (Some(&*large), r#""left_out_bytes":4104,"#),
        ] {
            let message = AttemptRecord::message_of("sent", of_plugin, denied());
            let line = format!(r#"{{{kept}"denied":["a: why","b: why"],"denied_more":7}}"#);
            assert_eq!(message, format!("sent\n{line}"));
            let (_, details) = AttemptRecord::parts_of(message);
            assert_eq!(AttemptRecord::denied_in(details.as_ref()).unwrap(), "denied: a: why; b: why");
        }
        assert_eq!(AttemptRecord::denied_in(None), None);
    }
}
