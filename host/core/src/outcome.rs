//! What an attempt ended with, and what follows from it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    code::Code, host_failure::HostFailure, observer::FailurePolicy, retry::RetryConfig, time::Timestamp,
};

/// What a successful attempt did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// One line for people.
    pub summary: String,
    /// The destination's status code, where it has one.
    pub status: Option<u16>,
    /// More, for machines: a JSON object.
    pub details: Option<String>,
}

/// Why an attempt failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    /// The kind of problem, and whether the host or a plugin found it.
    pub code: Code,
    /// For people; without secrets.
    pub message: String,
    /// The destination's status code, where it has one.
    pub status: Option<u16>,
}

impl Problem {
    /// A problem that the host found, without a status code.
    #[must_use]
    pub fn of_host(failure: HostFailure, message: impl Into<String>) -> Self {
        Self { code: failure.into(), message: message.into(), status: None }
    }

    /// A problem that a plugin reported under a code of its own, without a status code.
    #[must_use]
    pub fn of_plugin(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: Code::of_plugin(code), message: message.into(), status: None }
    }
}

/// A failed attempt: its class decides what the host does next.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{class} failure, {problem}")]
pub struct Failure {
    /// What kind of failure.
    pub class: FailureClass,
    /// Why.
    pub problem: Problem,
    /// How long the destination asked to be left alone; only with [`FailureClass::Throttled`].
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of the given class, without a delay.
    #[must_use]
    pub fn new(class: FailureClass, problem: Problem) -> Self {
        Self { class, problem, retry_after: None }
    }

    /// A failure that the host found, of the class that the table of the host's failures gives it.
    #[must_use]
    pub fn of_host(failure: HostFailure, message: impl Into<String>) -> Self {
        let class = failure.class().unwrap_or(FailureClass::Transient);
        Self::new(class, Problem::of_host(failure, message))
    }

    /// Whether the same attempt may work later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.class, FailureClass::Transient | FailureClass::Throttled)
    }
}

/// The classes of failure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The action's configuration is wrong: never retried.
    Misconfigured,
    /// Will fail for ever: never retried.
    Permanent,
    /// May work later.
    Transient,
    /// May work later, and the destination said when.
    Throttled,
}

impl FailureClass {
    /// The name used in tables, logs and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Misconfigured => "misconfigured",
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one attempt ended.
pub type AttemptResult = Result<Outcome, Failure>;

/// What follows from an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Done.
    Succeeded,
    /// Once more, not before this time.
    Retry(Timestamp),
    /// To the dead letter queue.
    Dead,
    /// Given up and logged; `alert` asks for a person.
    Failed {
        /// Whether a person should be told.
        alert: bool,
    },
}

/// What an attempt is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The action's retry policy.
    pub retry: &'a RetryConfig,
    /// The observer's failure policy.
    pub on_failure: FailurePolicy,
}

impl Rules<'_> {
    /// What follows from `result`, the end of attempt `attempt` (from 1, counted since the delivery was made or last
    /// replayed). `unit` is a random number in `[0, 1)` for the jitter.
    #[must_use]
    pub fn judge(&self, result: &AttemptResult, attempt: u32, now: Timestamp, unit: f64) -> Verdict {
        let Err(failure) = result else { return Verdict::Succeeded };
        let retries_left = attempt < self.retry.max_attempts;
        match failure.class {
            FailureClass::Transient if retries_left => {
                Verdict::Retry(now.plus(self.retry.delay(attempt, unit)))
            }
            FailureClass::Throttled if retries_left => {
                let asked = failure.retry_after.unwrap_or_default();
                Verdict::Retry(now.plus(self.retry.throttled(attempt, asked, unit)))
            }
            FailureClass::Transient
            | FailureClass::Throttled
            | FailureClass::Permanent
            | FailureClass::Misconfigured => match self.on_failure {
                FailurePolicy::Dlq => Verdict::Dead,
                FailurePolicy::Alert => Verdict::Failed { alert: true },
                FailurePolicy::Log => Verdict::Failed { alert: false },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(class: FailureClass) -> AttemptResult {
        Err(Failure::new(class, Problem::of_plugin("test", "made for a test")))
    }

    const NOW: Timestamp = Timestamp::from_micros(0);

    #[test]
    fn only_transient_failures_are_retried() {
        let retry = RetryConfig::default();
        let rules = Rules { retry: &retry, on_failure: FailurePolicy::Dlq };
        assert!(matches!(rules.judge(&failure(FailureClass::Transient), 1, NOW, 0.5), Verdict::Retry(_)));
        assert_eq!(
            rules.judge(&failure(FailureClass::Transient), retry.max_attempts, NOW, 0.5),
            Verdict::Dead
        );
        assert_eq!(rules.judge(&failure(FailureClass::Permanent), 1, NOW, 0.5), Verdict::Dead);
        assert_eq!(rules.judge(&failure(FailureClass::Misconfigured), 1, NOW, 0.5), Verdict::Dead);
        assert_eq!(rules.judge(&Ok(Outcome::default()), 3, NOW, 0.5), Verdict::Succeeded);
    }

    #[test]
    fn the_policy_decides_the_end() {
        let retry = RetryConfig { max_attempts: 1, ..RetryConfig::default() };
        let end = |on_failure| {
            Rules { retry: &retry, on_failure }.judge(&failure(FailureClass::Transient), 1, NOW, 0.0)
        };
        assert_eq!(end(FailurePolicy::Log), Verdict::Failed { alert: false });
        assert_eq!(end(FailurePolicy::Alert), Verdict::Failed { alert: true });
        assert_eq!(end(FailurePolicy::Dlq), Verdict::Dead);
    }

    proptest! {
        #[test]
        fn every_delivery_ends(max_attempts in 0..50_u32, asked_ms: u64, throttled: bool, unit in 0.0..1.0_f64) {
            let retry = RetryConfig { max_attempts, ..RetryConfig::default() };
            let rules = Rules { retry: &retry, on_failure: FailurePolicy::Dlq };
            let class = if throttled { FailureClass::Throttled } else { FailureClass::Transient };
            let mut result = failure(class);
            result.as_mut().unwrap_err().retry_after = Some(Duration::from_millis(asked_ms));
            let mut attempt = 1;
            while let Verdict::Retry(at) = rules.judge(&result, attempt, NOW, unit) {
                prop_assert!(at.since(NOW) <= Duration::from_millis(retry.max_delay_ms * crate::retry::THROTTLE_FACTOR));
                attempt += 1;
            }
            prop_assert!(attempt <= max_attempts.max(1));
        }
    }
}
