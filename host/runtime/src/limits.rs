//! The bounds of one attempt, as an operator writes them in `limits`, and of a batch of them.

use aftercommit_core::ActionConfig;
use serde_json::Value;

use crate::configure::problem::{ConfigProblem, Findings};

/// Bounds of one attempt of one action. The defaults here are the documented ones. In a batch, those of memory, CPU time
/// and wall time hold for the call; the others for each of its deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Memory of the guest, all its memories together. Default 64.
    pub memory_mb: u64,
    /// CPU time of the guest. Default 1000.
    pub cpu_ms: u64,
    /// Wall time, when the action has no `timeout_ms`. Default 10,000.
    pub timeout_ms: u64,
    /// Headers and body of one HTTP response; what is over is not read. Default 1 MiB.
    pub response_bytes: u64,
    /// Summary, details and message that an attempt returns. Default 256 KiB.
    pub result_bytes: u64,
    /// Calls of the host. Default 1000.
    pub host_calls: u64,
    /// Lines logged; what is over is dropped and counted. Default 100.
    pub log_lines: u64,
    /// Bytes logged; what is over is dropped and counted. Default 64 KiB.
    pub log_bytes: u64,
    /// One rendered template. Default 1 MiB.
    pub rendered_bytes: u64,
    /// Calls that one instance serves. Default 0: a fresh instance for every attempt.
    pub reuse: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mb: 64,
            cpu_ms: 1000,
            timeout_ms: 10_000,
            response_bytes: 1 << 20,
            result_bytes: 256 << 10,
            host_calls: 1000,
            log_lines: 100,
            log_bytes: 64 << 10,
            rendered_bytes: 1 << 20,
            reuse: 0,
        }
    }
}

/// A key of `limits`, the least and the greatest value it takes.
type Bound = (&'static str, u64, u64);

const BOUNDS: [Bound; 9] = [
    ("memory_mb", 1, 4096),
    // No more than the longest attempt.
    ("cpu_ms", 1, ActionConfig::MAX_TIMEOUT_MS),
    ("response_bytes", 1, 256 << 20),
    ("result_bytes", 256, 16 << 20),
    ("host_calls", 0, 1_000_000),
    ("log_lines", 0, 100_000),
    ("log_bytes", 0, 16 << 20),
    ("rendered_bytes", 1, 64 << 20),
    ("reuse", 0, 1_000_000),
];

impl Limits {
    /// These limits with those that `written` (an action's `limits`) sets. What is wrong in it sets nothing.
    pub(crate) fn with(&self, written: &Value, findings: &Findings) -> Self {
        let mut limits = self.clone();
        let Value::Object(written) = written else {
            findings.add(ConfigProblem::new("/limits", "must be a table of limits"));
            return limits;
        };
        for (key, value) in written {
            let Some(&(_, least, greatest)) = BOUNDS.iter().find(|(name, ..)| name == key) else {
                let known = BOUNDS.iter().map(|(name, ..)| *name);
                findings.add(ConfigProblem::unknown_key("/limits", key, known));
                continue;
            };
            match value.as_u64().filter(|value| (least..=greatest).contains(value)) {
                Some(value) => *limits.field(key) = value,
                None => findings.add(ConfigProblem::new(
                    format!("/limits/{key}"),
                    format!("must be a whole number from {least} to {greatest}"),
                )),
            }
        }
        limits
    }

    fn field(&mut self, key: &str) -> &mut u64 {
        match key {
            "memory_mb" => &mut self.memory_mb,
            "cpu_ms" => &mut self.cpu_ms,
            "response_bytes" => &mut self.response_bytes,
            "result_bytes" => &mut self.result_bytes,
            "host_calls" => &mut self.host_calls,
            "log_lines" => &mut self.log_lines,
            "log_bytes" => &mut self.log_bytes,
            "rendered_bytes" => &mut self.rendered_bytes,
            "reuse" => &mut self.reuse,
            other => unreachable!("`{other}` is in BOUNDS and not here"),
        }
    }

    /// The limits of a call for so many deliveries. What each delivery may do adds up; memory and time are the call's.
    pub(crate) fn for_batch(&self, deliveries: usize) -> Self {
        let times = |one: u64| one.saturating_mul(deliveries as u64);
        Self {
            host_calls: times(self.host_calls),
            log_lines: times(self.log_lines),
            log_bytes: times(self.log_bytes),
            ..self.clone()
        }
    }

    /// Most bytes the guest may hand over in one call of the host or in one result.
    pub(crate) fn transfer_bytes(&self) -> usize {
        // Its whole memory could hold a request body; beyond that a length is a lie.
        usize::try_from(self.memory_bytes()).unwrap_or(usize::MAX)
    }

    pub(crate) const fn memory_bytes(&self) -> u64 {
        self.memory_mb << 20
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_written_key_is_read() {
        for (key, least, _) in BOUNDS {
            let findings = Findings::default();
            let mut limits = Limits::default().with(&json!({key: least}), &findings);
            findings.into_result().unwrap();
            assert_eq!(*limits.field(key), least, "{key}");
        }
    }

    #[test]
    fn unknown_and_wrong_values_are_named() {
        let findings = Findings::default();
        let limits = Limits::default().with(&json!({"memory": 3, "cpu_ms": -1, "reuse": 2}), &findings);
        assert_eq!(limits, Limits { reuse: 2, ..Limits::default() }, "what is wrong sets nothing");
        let problems = findings.into_result().unwrap_err().problems;
        assert_eq!(
            problems[0].to_string(),
            "/limits/memory: there is no key `memory` here (did you mean `memory_mb`?)"
        );
        assert_eq!(problems[1].pointer, "/limits/cpu_ms");
    }
}
