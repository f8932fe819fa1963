//! What is to be done with a delivery, by the present definition of its observer.

use std::sync::Arc;

use aftercommit_core::{Care, Failure, HostFailure, Problem};
use aftercommit_store::ClaimedDelivery;

use crate::observers::{Action, Snapshot};

/// What is to be done with a delivery.
pub(super) enum Lookup {
    /// Run its action.
    Run(Arc<Action>),
    /// Its attempts are used up, or too many hosts died of it: nobody knows how the last one ended.
    Exhausted(Arc<Action>, Failure),
    /// Its observer or its action is not in the snapshot.
    Gone(Problem),
    /// It has to wait until its observer is enabled or loads.
    Wait,
}

/// Looks a delivery up.
pub(super) fn look_up(delivery: &ClaimedDelivery, snapshot: &Snapshot) -> Lookup {
    let Some(entry) = snapshot.entry(&delivery.observer) else {
        let message = format!("observer `{}` was removed", delivery.observer);
        return Lookup::Gone(Problem::of_host(HostFailure::ObserverRemoved, message));
    };
    if !entry.enabled {
        return Lookup::Wait;
    }
    let Some(action) = snapshot.action(&delivery.observer, &delivery.action) else {
        if entry.error.is_some() {
            return Lookup::Wait;
        }
        let message =
            format!("observer `{}` has no action `{}` any more", delivery.observer, delivery.action);
        return Lookup::Gone(Problem::of_host(HostFailure::ActionRemoved, message));
    };
    if let Some(failure) = exhausted(delivery, action) {
        return Lookup::Exhausted(Arc::clone(action), failure);
    }
    if action.configured.is_err() { Lookup::Wait } else { Lookup::Run(Arc::clone(action)) }
}

/// Why the delivery is to end without another attempt.
fn exhausted(delivery: &ClaimedDelivery, action: &Action) -> Option<Failure> {
    let message = if delivery.losses.care() == Care::GivenUp {
        let (hosts, alone) = (delivery.losses.in_a_row, delivery.losses.alone);
        format!("{hosts} hosts in a row died while they owned it, {alone} of them while it ran alone")
    } else if delivery.round_attempt() > action.policy.retry.max_attempts {
        let last = delivery.attempt.saturating_sub(1);
        format!(
            "attempt {last}, the last one, was lost: its host ended before it did, or could not write its end"
        )
    } else {
        return None;
    };
    Some(Failure::of_host(HostFailure::HostLost, message))
}
