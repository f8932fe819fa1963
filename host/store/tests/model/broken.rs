//! The protocol with one rule taken out: each time, stateright must show what the rule is for.

use crate::{
    bounds::{Attempt, Bounds, Faults},
    liveness,
    properties::{BOUNDED_RUNS, IN_ORDER, KEEPS, NEVER_LOST, NEVER_STALE, NOTHING_WAITS, ONE_AT_A_TIME},
    protocol::Protocol,
    real::{CALM, DEADLY, ORDERED, WELL},
    rules::Rules,
    search::break_down,
    step::{Answer, Step},
};

const CODE: Rules = Rules::CODE;
const NONE: Faults = Faults::NONE;
const NEVER: &[Attempt] = &[Attempt::FailsForGood];

#[test]
fn without_a_fence_a_host_that_stalled_ends_what_another_runs() {
    let bounds = Bounds { faults: Faults { stalls: 1, ..NONE }, ..CALM };
    break_down("no fence", Protocol::unfolded(Rules { fenced: false, ..CODE }, bounds), NEVER_STALE);
}

#[test]
fn counted_only_when_it_fails_a_delivery_kills_hosts_for_ever() {
    let bounds = Bounds { results: [DEADLY, WELL], ..CALM };
    let protocol = Protocol::unfolded(Rules { counted_at_claim: false, ..CODE }, bounds);
    break_down("counted at failure", protocol, BOUNDED_RUNS);
    let (there, round) = liveness::walk(&protocol).expect_err("it goes on for ever");
    println!("counted at failure: after {} steps, {} steps again and again", there.len(), round.len());
    assert!(round.iter().any(|step| matches!(step, Step::Begin { .. })), "the effect too");
}

#[test]
fn an_inbox_row_deleted_first_is_lost_with_its_host() {
    let bounds = Bounds { faults: Faults { crashes: 1, ..NONE }, ..CALM };
    let protocol = Protocol::unfolded(Rules { taken_at_once: false, ..CODE }, bounds);
    break_down("inbox first", protocol, NEVER_LOST);
    break_down("inbox first", protocol, NOTHING_WAITS);
}

#[test]
fn a_host_taken_over_unasked_loses_what_it_runs() {
    let protocol = Protocol::unfolded(Rules { silent_only: false, ..CODE }, CALM);
    break_down("no heartbeat", protocol, KEEPS);
}

#[test]
fn a_dead_letter_written_later_is_lost_with_its_host() {
    let bounds = Bounds { results: [NEVER, WELL], faults: Faults { crashes: 1, ..NONE }, ..CALM };
    let protocol = Protocol::unfolded(Rules { buried_at_once: false, ..CODE }, bounds);
    break_down("buried later", protocol, NEVER_LOST);
    break_down("buried later", protocol, NOTHING_WAITS);
}

#[test]
fn without_locks_of_keys_two_of_an_entity_run_at_once() {
    let faults = Faults { replays: 1, ..NONE };
    let bounds = Bounds { results: [NEVER, WELL], faults, ..ORDERED };
    let protocol = Protocol::unfolded(Rules { keys_locked: false, ..CODE }, bounds);
    break_down("no key locks", protocol, ONE_AT_A_TIME);
}

#[test]
fn taken_at_the_same_time_the_second_event_overtakes_the_first() {
    let protocol = Protocol::unfolded(Rules { takes_in_turn: false, ..CODE }, ORDERED);
    break_down("takes side by side", protocol, IN_ORDER);
}

/// A host that owns a delivery and does not know of it lives on, so no other frees it.
#[test]
fn a_claim_whose_answer_is_lost_is_kept_as_long_as_its_host_lives() {
    let bounds = Bounds { faults: Faults { lost_claims: 1, ..NONE }, ..CALM };
    let protocol = Protocol::unfolded(Rules { frees_unknown: false, ..CODE }, bounds);
    let steps = break_down("answer of a claim lost", protocol, NOTHING_WAITS);
    assert!(matches!(steps.last(), Some(Step::Take { .. })), "nothing else has to happen");
}

#[test]
fn an_end_that_the_server_lost_is_not_made_again_as_long_as_its_host_lives() {
    let bounds = Bounds { faults: Faults { server_crashes: 1, ..NONE }, ..CALM };
    let protocol = Protocol::unfolded(Rules { frees_unknown: false, ..CODE }, bounds);
    break_down("end lost by the server", protocol, NOTHING_WAITS);
}

#[test]
fn a_delivery_handed_back_twice_takes_away_what_was_claimed_in_between() {
    let bounds = Bounds { faults: Faults { lost_ends: 1, hand_backs: 1, ..NONE }, ..CALM };
    let protocol = Protocol::unfolded(Rules { waits_for_hand_backs: false, ..CODE }, bounds);
    let steps = break_down("handed back twice", protocol, NEVER_STALE);
    assert!(steps.iter().any(|step| matches!(step, Step::Write { answer: Answer::Lost, .. })));
}
