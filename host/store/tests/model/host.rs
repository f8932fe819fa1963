//! What one run of a host has in memory.

use aftercommit_core::{Care, Losses};

use crate::tables::EVENTS;

/// Deliveries that a host has places for (`channel_capacity`).
pub(crate) const PLACES: usize = 2;

/// A host. When it crashes, all of this is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Host {
    pub(crate) up: bool,
    /// It takes nothing more.
    pub(crate) stopping: bool,
    /// For properties only: its heartbeat was too old, and something it had then may be lost.
    pub(crate) was_silent: bool,
    pub(crate) intake: Option<Picked>,
    pub(crate) claims: [Option<Claim>; PLACES],
    /// The attempt of each delivery that it made and whose end it can not write.
    pub(crate) given_up: [Option<u8>; EVENTS],
    /// A delivery it ended whose dead letter is still to be written: only where that is another transaction.
    pub(crate) to_bury: Option<(usize, u8)>,
}

/// A transaction of intake that is under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Picked {
    pub(crate) events: [bool; EVENTS],
    /// Which of them may be owned at once, where that is not decided by the commit.
    pub(crate) free: [bool; EVENTS],
}

/// A delivery that a host took for its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Claim {
    pub(crate) event: usize,
    pub(crate) attempt: u8,
    pub(crate) attempts_before: u8,
    pub(crate) losses: Losses,
    pub(crate) phase: Phase,
    /// The end of an earlier one of its run could not be written, so its own is not either.
    pub(crate) broken: bool,
    /// For properties only: the delivery belongs to this claim no more.
    pub(crate) stale: bool,
}

/// How far a host is with a delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Phase {
    /// Not begun.
    Held,
    /// Marked as begun, and about to begin.
    Marked,
    /// The effect happens at the receiver about now.
    Running,
    /// Its end is to be written.
    Ended(End),
    /// Not begun, and to be handed back.
    HandedBack,
    /// Handed back, and the answer was lost: to be handed back once more.
    Unanswered,
}

/// What is to be written of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum End {
    Succeeded,
    Retry,
    Dead,
    Failed,
}

impl Host {
    pub(crate) const DOWN: Self = Self {
        up: false,
        stopping: false,
        was_silent: false,
        intake: None,
        claims: [None; PLACES],
        given_up: [None; EVENTS],
        to_bury: None,
    };

    pub(crate) fn room(&self) -> usize {
        self.claims.iter().filter(|claim| claim.is_none()).count()
    }

    /// Whether it does not know what became of a delivery that it handed back.
    pub(crate) fn waits_for_answer(&self) -> bool {
        self.claims.iter().flatten().any(|claim| claim.phase == Phase::Unanswered)
    }

    /// Whether it may claim a delivery with these losses beside what it has.
    pub(crate) fn has_care_for(&self, losses: Losses) -> bool {
        let mut lost = self.claims.iter().flatten().filter(|claim| claim.losses.care() != Care::Ordinary);
        match losses.care() {
            Care::Ordinary => true,
            Care::Together => lost.all(|claim| claim.losses.care() == Care::Together),
            Care::Alone | Care::GivenUp => lost.next().is_none(),
        }
    }

    pub(crate) fn keep(&mut self, claim: Claim) {
        if let Some(place) = self.claims.iter_mut().find(|place| place.is_none()) {
            *place = Some(claim);
        }
    }
}

impl Claim {
    pub(crate) const fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Held | Phase::Marked | Phase::Running)
    }
}
