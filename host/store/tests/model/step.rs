//! What can happen.

use crate::bounds::Attempt;

/// Whether the host hears that its transaction was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Comes,
    Lost,
    /// It was not: the database will never take what was to be written.
    Refused,
}

/// What can happen next. `host` is its number, `claim` that of one of its places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The application commits an event.
    Commit {
        event: usize,
    },
    /// A host starts, and enters itself.
    Start {
        host: usize,
    },
    Crash {
        host: usize,
    },
    Stop {
        host: usize,
    },
    /// A host that stops abandons what it still runs, and leaves.
    Retire {
        host: usize,
    },
    /// Time passes without a heartbeat.
    Expire {
        name: usize,
    },
    /// A heartbeat; enters the host again where others removed it.
    Beat {
        host: usize,
    },
    TakeOver {
        host: usize,
    },
    /// A host frees what it owns and does not know of.
    FreeUnknown {
        host: usize,
    },
    /// Intake locks inbox rows.
    Pick {
        host: usize,
        rows: usize,
    },
    /// Intake commits deliveries, owned or on hold.
    Take {
        host: usize,
        own: bool,
        answer: Answer,
    },
    /// A host claims a delivery, alone or with the next of its entity.
    Claim {
        host: usize,
        event: usize,
        with_next: bool,
        answer: Answer,
    },
    /// The store is told that a delivery that runs alone begins.
    Mark {
        host: usize,
        claim: usize,
    },
    /// The action begins.
    Begin {
        host: usize,
        claim: usize,
    },
    /// The action ends.
    Finish {
        host: usize,
        claim: usize,
        attempt: Attempt,
    },
    HandBack {
        host: usize,
        claim: usize,
    },
    /// The end of an attempt, or a delivery handed back, is committed, if it still counts.
    Write {
        host: usize,
        claim: usize,
        answer: Answer,
    },
    /// The dead letter is written, where that is another transaction.
    Bury {
        host: usize,
    },
    Replay {
        event: usize,
    },
    /// From now on the server's disk is behind.
    FallBehind,
    CrashServer,
}
