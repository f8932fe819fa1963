//! The protocol with one rule taken out: each time, stateright must show what the rule is for.

use crate::{
    bounds::{Attempt, Bounds, Faults},
    properties::{
        BOUNDED_RUNS, IN_ORDER, KEEPS, NEVER_LOST, NEVER_STALE, NEVER_UNTRIED, NOTHING_WAITS, ONE_AT_A_TIME,
        TAKES_NO_OTHER,
    },
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
fn numbered_only_when_it_fails_two_claims_of_one_host_are_alike() {
    let bounds = Bounds { faults: Faults { stalls: 1, ..NONE }, ..CALM };
    let protocol = Protocol::unfolded(Rules { numbered_at_claim: false, ..CODE }, bounds);
    break_down("numbered at failure", protocol, NEVER_STALE);
}

/// Each crash would cost an attempt of everything that the host owned.
#[test]
fn charged_for_each_crash_what_was_never_begun_is_given_up() {
    let bounds =
        Bounds { max_attempts: 1, results: [WELL, WELL], faults: Faults { crashes: 3, ..NONE }, ..CALM };
    let protocol = Protocol::unfolded(Rules { charged_if_begun: false, ..CODE }, bounds);
    break_down("charged for each crash", protocol, NEVER_UNTRIED);
}

#[test]
fn without_a_mark_no_attempt_that_kills_its_host_counts() {
    let bounds = Bounds { max_attempts: 1, results: [DEADLY, WELL], ..CALM };
    let protocol = Protocol::unfolded(Rules { marked: false, ..CODE }, bounds);
    break_down("no mark", protocol, BOUNDED_RUNS);
}

#[test]
fn tried_with_others_a_delivery_that_kills_its_host_takes_them_with_it() {
    let bounds = Bounds { max_attempts: 1, results: [DEADLY, WELL], ..CALM };
    let protocol = Protocol::unfolded(Rules { tried_apart: false, ..CODE }, bounds);
    break_down("not tried apart", protocol, TAKES_NO_OTHER);
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

#[test]
fn a_turn_that_leaves_the_run_lets_another_host_run_the_entity_too() {
    let faults = Faults { replays: 1, ..NONE };
    let bounds =
        Bounds { events: 3, max_attempts: 1, results: [NEVER, WELL], faults, late_commit: false, ..ORDERED };
    let protocol = Protocol::unfolded(Rules { turn_stays_in_run: false, ..CODE }, bounds);
    break_down("the turn leaves the run", protocol, ONE_AT_A_TIME);
}

#[test]
fn a_run_that_goes_on_overtakes_the_one_that_failed() {
    let bounds = Bounds { late_commit: false, ..ORDERED };
    let protocol = Protocol::unfolded(Rules { run_stops: false, ..CODE }, bounds);
    break_down("the run goes on", protocol, IN_ORDER);
}

#[test]
fn ends_of_a_run_that_are_written_in_any_order_leave_an_earlier_one_to_run_again_later() {
    let faults = Faults { crashes: 1, ..NONE };
    let bounds = Bounds { results: [WELL, WELL], faults, late_commit: false, ..ORDERED };
    let protocol = Protocol::unfolded(Rules { ends_in_order: false, ..CODE }, bounds);
    break_down("ends in any order", protocol, IN_ORDER);
}

#[test]
fn a_run_that_goes_on_after_an_end_was_refused_overtakes_it() {
    let faults = Faults { refused_ends: 1, ..NONE };
    let bounds = Bounds { results: [WELL, WELL], faults, late_commit: false, ..ORDERED };
    let protocol = Protocol::unfolded(Rules { ends_in_order: false, ..CODE }, bounds);
    let steps = break_down("an end of a run is refused", protocol, IN_ORDER);
    assert!(steps.len() > 2);
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
