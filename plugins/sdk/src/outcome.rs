//! Saying how a run ended, and what is wrong with a configuration.

use crate::{Failure, FieldProblem, Outcome, Problem, bindings::aftercommit::action::model::Delay};

impl Outcome {
    /// Success, with one line for people.
    #[must_use]
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), status: None, details: None }
    }

    /// Adds the destination's status code.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds more for machines: a JSON object as text.
    #[must_use]
    pub fn with_details(mut self, json: impl Into<String>) -> Self {
        self.details = Some(json.into());
        self
    }
}

impl Failure {
    /// The action's configuration is wrong: never retried.
    #[must_use]
    pub fn misconfigured(code: &str, message: impl Into<String>) -> Self {
        Self::Misconfigured(Problem::new(code, message))
    }

    /// The destination will refuse this event for ever: never retried.
    #[must_use]
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self::Permanent(Problem::new(code, message))
    }

    /// May work later: retried under the observer's policy.
    #[must_use]
    pub fn transient(code: &str, message: impl Into<String>) -> Self {
        Self::Transient(Problem::new(code, message))
    }

    /// May work later, but not before `after_ms` milliseconds.
    #[must_use]
    pub fn throttled(code: &str, message: impl Into<String>, after_ms: u64) -> Self {
        Self::Throttled(Delay { after_ms, why: Problem::new(code, message) })
    }

    /// Adds the destination's status code.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.problem_mut().status = Some(status);
        self
    }

    /// Why, whatever the class.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Misconfigured(problem) | Self::Permanent(problem) | Self::Transient(problem) => problem,
            Self::Throttled(delay) => &delay.why,
        }
    }

    fn problem_mut(&mut self) -> &mut Problem {
        match self {
            Self::Misconfigured(problem) | Self::Permanent(problem) | Self::Transient(problem) => problem,
            Self::Throttled(delay) => &mut delay.why,
        }
    }
}

/// What an error of a service means for the delivery: what a table of its codes says of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureClass {
    /// May work later.
    Transient,
    /// The configuration, an account or a credential is the operator's to put right.
    Misconfigured,
    /// This event will be refused for ever.
    Permanent,
}

impl FailureClass {
    /// The failure of this class. A transient one waits for `retry_after_ms` milliseconds, if the service asks for that.
    #[must_use]
    pub fn failure(self, code: &str, message: impl Into<String>, retry_after_ms: Option<u64>) -> Failure {
        match (self, retry_after_ms) {
            (Self::Transient, Some(after_ms)) => Failure::throttled(code, message, after_ms),
            (Self::Transient, None) => Failure::transient(code, message),
            (Self::Misconfigured, _) => Failure::misconfigured(code, message),
            (Self::Permanent, _) => Failure::permanent(code, message),
        }
    }
}

impl Problem {
    /// A problem without a status code. `code` is a short stable word in `snake_case`; `message` is for people and
    /// never holds a secret.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), status: None }
    }
}

impl FieldProblem {
    /// What is wrong at a JSON pointer (RFC 6901), and what to write instead.
    #[must_use]
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}
