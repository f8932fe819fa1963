//! The life of a delivery: one (event, observer, action).
//!
//! Cast: intake makes a delivery `ready`, or `running` when its own host has room. A host claims what is ready or due
//! (`running`), which numbers the attempt, and owns it as (host, attempt). It ends the attempt with a completion, hands
//! the delivery back unstarted, or dies; then another host takes it over. A completion by anyone but the present
//! (host, attempt) is refused by the store. What is not guaranteed: that an action runs once only.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a delivery for all time: the same event, observer and action always give the same id, over all attempts and
/// replays. It is the idempotency key that receivers see. A name-based UUID (RFC 9562, version 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub Uuid);

impl DeliveryId {
    /// The id of the delivery of one event to one action of one observer.
    #[must_use]
    pub fn of(event_id: Uuid, observer: &str, action: &str) -> Self {
        let mut name = Vec::with_capacity(observer.len() + 1 + action.len());
        name.extend_from_slice(observer.as_bytes());
        name.push(0);
        name.extend_from_slice(action.as_bytes());
        Self(Uuid::new_v5(&event_id, &name))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Waits for a host.
    Ready,
    /// A host runs its action.
    Running,
    /// Failed, and waits for the time of its next attempt.
    Waiting,
    /// Ended well.
    Succeeded,
    /// Ended in the dead letter queue.
    Dead,
    /// Ended badly, and its observer's policy only logs that.
    Failed,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Running, Self::Waiting, Self::Succeeded, Self::Dead, Self::Failed];

    /// The name used in tables and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing follows by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Failed)
    }

    /// The state after `step`. The statements of the store make these moves and no others, which its tests compare.
    pub const fn after(self, step: Move) -> Result<Self, IllegalMove> {
        match (self, step) {
            (Self::Ready | Self::Waiting, Move::Claim) => Ok(Self::Running),
            (Self::Running, Move::Succeed) => Ok(Self::Succeeded),
            (Self::Running, Move::Retry | Move::Postpone) => Ok(Self::Waiting),
            (Self::Running, Move::Release | Move::TakeOver) | (Self::Dead, Move::Replay) => Ok(Self::Ready),
            // Also one whose observer was removed is claimed first.
            (Self::Running, Move::Die) => Ok(Self::Dead),
            (Self::Running, Move::Fail) => Ok(Self::Failed),
            (from, step) => Err(IllegalMove { from, step }),
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What can happen to a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Move {
    /// A host takes it; the attempt has its number from here.
    Claim,
    /// Its action succeeded.
    Succeed,
    /// Its action failed and will be tried again.
    Retry,
    /// Its action failed for good, policy `dlq`; or its observer was removed.
    Die,
    /// Its action failed for good, policy `log` or `alert`.
    Fail,
    /// Its host hands it back unstarted: the attempt does not count.
    Release,
    /// The same, and it is not to be claimed before some time.
    Postpone,
    /// Its host is gone, or lost track of it: others may claim it. [`loss`](crate::loss) says whether the attempt counts.
    TakeOver,
    /// A person asked for it again.
    Replay,
}

impl Move {
    /// All moves.
    pub const ALL: [Self; 9] = [
        Self::Claim,
        Self::Succeed,
        Self::Retry,
        Self::Die,
        Self::Fail,
        Self::Release,
        Self::Postpone,
        Self::TakeOver,
        Self::Replay,
    ];
}

/// A move that the state does not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a delivery that is {from} can not {step:?}")]
pub struct IllegalMove {
    /// Where it stood.
    pub from: DeliveryState,
    /// What was asked.
    pub step: Move,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_id_depends_on_all_three_names() {
        let event = Uuid::nil();
        let id = DeliveryId::of(event, "a", "bc");
        assert_eq!(id, DeliveryId::of(event, "a", "bc"));
        assert_ne!(id, DeliveryId::of(event, "ab", "c"));
        assert_ne!(id, DeliveryId::of(Uuid::max(), "a", "bc"));
    }

    proptest! {
        #[test]
        fn ends_are_final_but_for_replay(steps in prop::collection::vec(0..Move::ALL.len(), 0..40)) {
            let mut state = DeliveryState::Ready;
            for step in steps {
                let step = Move::ALL[step];
                match state.after(step) {
                    Ok(next) => {
                        prop_assert!(!state.is_final() || (state == DeliveryState::Dead && step == Move::Replay));
                        prop_assert!(next != DeliveryState::Running || step == Move::Claim);
                        state = next;
                    }
                    Err(error) => prop_assert_eq!(error, IllegalMove { from: state, step }),
                }
            }
        }
    }

    #[test]
    fn every_live_state_can_reach_an_end() {
        for state in DeliveryState::ALL.into_iter().filter(|state| !state.is_final()) {
            let running = state.after(Move::Claim).unwrap_or(state);
            assert_eq!(running.after(Move::Succeed), Ok(DeliveryState::Succeeded));
        }
    }
}
