//! What must hold at every moment, and what must have come up for that to mean something.

use aftercommit_core::DeliveryState;
use stateright::Property;

use crate::{
    bounds::{Attempt, Bounds},
    host::{Claim, Phase},
    protocol::Protocol,
    state::State,
    tables::{Delivery, EVENTS},
};

pub(crate) const NEVER_LOST: &str = "what was committed is somewhere";
pub(crate) const ONE_PLACE: &str = "nothing is in two places, or ends twice";
pub(crate) const NEVER_STALE: &str = "the end of a stale claim never counts";
pub(crate) const KEEPS: &str = "a host that was not silent keeps what it runs";
pub(crate) const BOUNDED_RUNS: &str = "no more effects than three of an attempt that counts";
pub(crate) const NEVER_UNTRIED: &str = "what was never begun is not given up";
pub(crate) const TAKES_NO_OTHER: &str = "a delivery that kills its host takes no other with it";
pub(crate) const ONE_AT_A_TIME: &str = "one of an entity runs at a time";
pub(crate) const IN_ORDER: &str = "an entity's events begin in their order";
pub(crate) const ONE_TURN: &str = "one of an entity has its turn";
const RAN_AHEAD: &str = "a host ran the next before the end of the first was written";
pub(crate) const NOTHING_WAITS: &str = "when nothing can happen any more, everything has ended";

/// The properties of a model with these bounds.
pub(crate) fn all(bounds: &Bounds) -> Vec<Property<Protocol>> {
    let faults = &bounds.faults;
    let mut all = vec![
        Property::always(NEVER_LOST, never_lost),
        Property::always(ONE_PLACE, one_place),
        Property::always(NEVER_STALE, |_, state: &State| !state.seen.stale_applied),
        Property::always(NOTHING_WAITS, nothing_waits),
        Property::sometimes("everything has ended", |_, state: &State| state.tables.all_ended()),
    ];
    if faults.server_crashes == 0 {
        all.push(Property::always(KEEPS, keeps));
    }
    if bounds.counts_runs() {
        all.push(Property::always(BOUNDED_RUNS, bounded_runs));
        all.push(Property::always(NEVER_UNTRIED, never_untried));
    }
    if bounds.only_actions_kill() {
        all.push(Property::always(TAKES_NO_OTHER, takes_no_other));
    }
    if bounds.ordered {
        all.push(Property::always(ONE_AT_A_TIME, one_at_a_time));
        all.push(Property::always(IN_ORDER, |_, state: &State| !state.seen.out_of_order));
        all.push(Property::always(ONE_TURN, one_has_the_turn));
        if bounds.results[0] != [Attempt::KillsItsHost] {
            all.push(Property::sometimes(RAN_AHEAD, ran_ahead));
        }
    }
    if faults.stalls + faults.crashes > 0 {
        all.push(Property::sometimes("a delivery was taken over", taken_over));
    }
    if faults.stalls > 0 {
        all.push(Property::sometimes("two hosts run the same delivery", run_by_two));
        all.push(Property::sometimes("the end of a stale claim is to be refused", to_be_refused));
    }
    if faults.replays > 0 {
        all.push(Property::sometimes("a dead letter was replayed, and ended well", replayed));
    }
    all
}

fn rows(state: &State) -> impl Iterator<Item = &Delivery> {
    state.tables.deliveries.iter().flatten()
}

fn never_lost(_: &Protocol, state: &State) -> bool {
    (0..EVENTS).all(|event| !state.tables.committed[event] || state.tables.places(event) > 0)
}

fn one_place(_: &Protocol, state: &State) -> bool {
    (0..EVENTS).all(|event| state.tables.places(event) <= 1)
}

fn keeps(_: &Protocol, state: &State) -> bool {
    let mut reliable = state.hosts.iter().filter(|host| host.up && !host.was_silent);
    reliable.all(|host| !host.claims.iter().flatten().any(|claim| claim.stale && claim.is_under_way()))
}

/// With `liveness`, which shows that nothing goes on for ever, this is "everything ends".
fn nothing_waits(protocol: &Protocol, state: &State) -> bool {
    state.tables.all_ended() || !protocol.is_over(state)
}

fn bounded_runs(protocol: &Protocol, state: &State) -> bool {
    (0..EVENTS).all(|event| state.seen.runs[event] <= protocol.most_runs(state, event))
}

fn never_untried(_: &Protocol, state: &State) -> bool {
    (0..EVENTS).all(|event| state.tables.dead[event].is_none() || state.seen.runs[event] > 0)
}

fn takes_no_other(protocol: &Protocol, state: &State) -> bool {
    let is_harmless = |event: usize| protocol.bounds.results(event) == [Attempt::Succeeds];
    (0..EVENTS).all(|event| state.tables.dead[event].is_none() || !is_harmless(event))
}

/// A host may own several, and runs one of them.
fn one_at_a_time(_: &Protocol, state: &State) -> bool {
    let mut owners = rows(state).filter_map(|row| row.owner);
    let first = owners.next();
    let claims = state.hosts.iter().flat_map(|host| host.claims.iter().flatten());
    let running = claims.filter(|claim| claim.phase == Phase::Running && !claim.stale);
    owners.all(|owner| Some(owner) == first) && running.count() <= 1
}

/// One has the turn of the entity, if any is live.
fn one_has_the_turn(_: &Protocol, state: &State) -> bool {
    let turns = rows(state).filter(|row| !row.blocked).count();
    turns == usize::from(rows(state).next().is_some())
}

/// Both of a run were begun, and the end of neither is written.
fn ran_ahead(_: &Protocol, state: &State) -> bool {
    let is_ended = |claim: &&Claim| matches!(claim.phase, Phase::Ended(_)) && !claim.stale;
    state.hosts.iter().any(|host| host.claims.iter().flatten().filter(is_ended).count() > 1)
}

/// Only a takeover makes a delivery ready again and leaves it the number of the attempt.
fn taken_over(_: &Protocol, state: &State) -> bool {
    rows(state).any(|row| row.state == DeliveryState::Ready && row.attempts > row.attempts_before)
}

fn run_by_two(_: &Protocol, state: &State) -> bool {
    let runs = |host: usize, event: usize| {
        let claims = state.hosts[host].claims.iter().flatten();
        claims.filter(|claim| claim.phase == Phase::Running).any(|claim| claim.event == event)
    };
    (0..EVENTS).any(|event| (0..state.hosts.len()).all(|host| runs(host, event)))
}

fn to_be_refused(_: &Protocol, state: &State) -> bool {
    let mut claims = state.hosts.iter().flat_map(|host| host.claims.iter().flatten());
    claims.any(|claim| claim.stale && matches!(claim.phase, Phase::Ended(_)))
}

fn replayed(_: &Protocol, state: &State) -> bool {
    (0..EVENTS).any(|event| state.seen.replays[event] > 0 && state.tables.ended[event])
}
