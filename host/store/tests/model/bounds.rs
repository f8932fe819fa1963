//! How far the model goes.

use aftercommit_core::{
    AttemptResult, Failure, FailureClass, FailurePolicy, Outcome, Problem, RetryConfig, Timestamp, Verdict,
    outcome,
};

use crate::host::End;

/// What can happen at most, and to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_attempts: u8,
    /// How many events there are.
    pub(crate) events: usize,
    /// Whether the events belong to one entity, observed `per_entity`.
    pub(crate) ordered: bool,
    pub(crate) on_failure: FailurePolicy,
    /// How attempts of the first event may end, and those of the others.
    pub(crate) results: [&'static [Attempt]; 2],
    /// Whether the last event may be committed at any time, or is there from the start.
    pub(crate) late_commit: bool,
    pub(crate) faults: Faults,
}

/// How often each fault can still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Faults {
    /// A host dies, anywhere.
    pub(crate) crashes: u8,
    /// The heartbeat of a living host becomes too old, because it stalls or its connection does.
    pub(crate) stalls: u8,
    /// A host that is not entered claims nevertheless. Its heartbeat, which goes on, enters it again.
    pub(crate) claims_unentered: u8,
    /// The answer of a commit of intake or of a claim is lost.
    pub(crate) lost_claims: u8,
    /// The answer of the commit of an end, or of a delivery handed back, is lost.
    pub(crate) lost_ends: u8,
    /// The database refuses the end of an attempt for good, and its host gives the delivery up.
    pub(crate) refused_ends: u8,
    /// A delivery is handed back because its action can not run now.
    pub(crate) hand_backs: u8,
    /// A host is told to stop.
    pub(crate) stops: u8,
    /// A person replays a dead letter.
    pub(crate) replays: u8,
    /// The database server crashes, and loses commits that did not wait for its disk.
    pub(crate) server_crashes: u8,
}

impl Faults {
    /// None at all.
    pub(crate) const NONE: Self = Self {
        crashes: 0,
        stalls: 0,
        claims_unentered: 0,
        lost_claims: 0,
        lost_ends: 0,
        refused_ends: 0,
        hand_backs: 0,
        stops: 0,
        replays: 0,
        server_crashes: 0,
    };
}

/// How an attempt ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Attempt {
    Succeeds,
    FailsForNow,
    FailsForGood,
    /// It takes its host with it.
    KillsItsHost,
}

impl Bounds {
    /// How attempts of the event may end.
    pub(crate) fn results(&self, event: usize) -> &'static [Attempt] {
        self.results[event.min(1)]
    }

    /// Whether effects are counted: only where hosts die of them or again and again, or their ends are refused, since it
    /// multiplies the states.
    pub(crate) fn counts_runs(&self) -> bool {
        let is_deadly = self.results.iter().any(|results| results.contains(&Attempt::KillsItsHost));
        is_deadly || self.faults.refused_ends > 0 || self.faults.crashes > 2
    }

    /// Whether hosts die of nothing but their actions.
    pub(crate) fn only_actions_kill(&self) -> bool {
        let Faults { crashes, stalls, server_crashes, stops, refused_ends, .. } = self.faults;
        crashes + stalls + server_crashes + stops + refused_ends == 0
    }

    /// What a host writes of an attempt, `round_attempt` of its round: as the product's own policy judges.
    pub(crate) fn judge(&self, attempt: Attempt, round_attempt: u8) -> End {
        let retry = RetryConfig { max_attempts: u32::from(self.max_attempts), ..RetryConfig::default() };
        let rules = outcome::Rules { retry: &retry, on_failure: self.on_failure };
        match rules.judge(&result(attempt), u32::from(round_attempt), Timestamp::from_micros(0), 0.5) {
            Verdict::Succeeded => End::Succeeded,
            Verdict::Retry(_) => End::Retry,
            Verdict::Dead => End::Dead,
            Verdict::Failed { .. } => End::Failed,
        }
    }
}

fn result(attempt: Attempt) -> AttemptResult {
    let class = match attempt {
        Attempt::Succeeds => return Ok(Outcome::default()),
        Attempt::FailsForNow | Attempt::KillsItsHost => FailureClass::Transient,
        Attempt::FailsForGood => FailureClass::Permanent,
    };
    Err(Failure::new(class, Problem::of_plugin("model", "")))
}
