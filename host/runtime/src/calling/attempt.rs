//! One run of an action for one event: what it is told of its delivery, how it ended, and what it used.

use std::time::Duration;

use aftercommit_core::{AttemptResult, DeliveryId, Outcome};

use crate::calling::denials::Denied;

/// The delivery that an attempt belongs to.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryInfo {
    /// The idempotency key.
    pub id: DeliveryId,
    /// Counts from 1.
    pub attempt: u32,
    /// The last attempt.
    pub max_attempts: u32,
}

/// What the call of an attempt used; the attempts of a batch share one call.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// From start to end, waiting for a free instance not counted.
    pub wall: Duration,
    /// CPU time of the guest and of the host's functions that it called.
    pub cpu_ms: u64,
    /// Memory of the guest at the end.
    pub memory_bytes: u64,
    /// Calls of the host.
    pub host_calls: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Lines dropped because there were too many.
    pub log_dropped: u64,
}

/// One run of an action for one event.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// How it ended.
    pub result: AttemptResult,
    /// What it used.
    pub usage: Usage,
    /// What the host denied it; the attempts of a batch share it, since which of them it was for is not known.
    pub denied: Denied,
}

impl Attempt {
    /// One that ended before its guest was called.
    #[must_use]
    pub fn uncalled(result: AttemptResult) -> Self {
        Self { result, usage: Usage::default(), denied: Denied::default() }
    }
}

/// An attempt that succeeded, for tests of embedding programs.
impl Default for Attempt {
    fn default() -> Self {
        Self::uncalled(Ok(Outcome::default()))
    }
}
