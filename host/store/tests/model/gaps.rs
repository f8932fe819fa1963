//! What the model found that the code does not do yet: expected counterexamples, each with the rule that ends it.
//! Whoever brings a rule into the code adds it to `Rules::CODE`, and moves its test to `broken`.

use crate::{
    bounds::{Attempt, Bounds, Faults},
    properties::{NEVER_STALE, NOTHING_WAITS},
    protocol::Protocol,
    real::{CALM, ORDERED, WELL, WELL_OR_AGAIN},
    rules::Rules,
    search::{break_down, prove},
    step::Step,
};

const NONE: Faults = Faults::NONE;

/// A host that owns a delivery and does not know of it lives on, so nobody frees the delivery.
const FREES_UNKNOWN: Rules = Rules { frees_unknown: true, ..Rules::CODE };
/// A delivery handed back twice by one host, the second time because the answer to the first was lost, may have been
/// claimed again by that host in between, with the same number.
const NUMBERS_ONCE: Rules = Rules { numbers_once: true, ..Rules::CODE };

#[test]
fn a_claim_whose_answer_is_lost_is_kept_as_long_as_its_host_lives() {
    let lost = Faults { lost_claims: 1, ..NONE };
    let bounds = Bounds { faults: lost, ..CALM };
    let steps = break_down("answer of a claim lost", Protocol::unfolded(Rules::CODE, bounds), NOTHING_WAITS);
    assert!(matches!(steps.last(), Some(Step::Take { .. })), "nothing else has to happen");
    let faults = Faults { lost_ends: 1, crashes: 1, ..lost };
    prove("unknown freed", 12_980, Protocol::folded(FREES_UNKNOWN, Bounds { faults, ..bounds }));
    let faults = Faults { stalls: 1, claims_unentered: 1, ..lost };
    let bounds = Bounds { faults, results: [WELL_OR_AGAIN, WELL], late_commit: false, ..ORDERED };
    prove("unknown freed, in order", 13_452, Protocol::folded(FREES_UNKNOWN, bounds));
}

#[test]
fn an_end_that_the_server_lost_is_not_made_again_as_long_as_its_host_lives() {
    let bounds = Bounds { faults: Faults { server_crashes: 1, ..NONE }, ..CALM };
    break_down("end lost by the server", Protocol::unfolded(Rules::CODE, bounds), NOTHING_WAITS);
    let bounds = Bounds { late_commit: true, ..bounds };
    prove("unknown freed, server", 70_102, Protocol::folded(FREES_UNKNOWN, bounds));
    let faults = Faults { crashes: 1, ..bounds.faults };
    let bounds = Bounds { faults, results: [WELL, WELL], ..bounds };
    prove("unknown freed, server and host", 37_583, Protocol::folded(FREES_UNKNOWN, bounds));
}

#[test]
fn a_delivery_handed_back_twice_takes_away_what_was_claimed_in_between() {
    let bounds = Bounds { faults: Faults { lost_ends: 1, hand_backs: 1, ..NONE }, ..CALM };
    break_down("handed back twice", Protocol::unfolded(Rules::CODE, bounds), NEVER_STALE);
    let faults = Faults { crashes: 1, ..bounds.faults };
    let results: [&[Attempt]; 2] = [WELL_OR_AGAIN, WELL];
    prove("numbers once", 10_177, Protocol::folded(NUMBERS_ONCE, Bounds { results, faults, ..bounds }));
    let faults = Faults { stops: 1, ..bounds.faults };
    prove("numbers once, in order", 15_236, Protocol::folded(NUMBERS_ONCE, Bounds { faults, ..ORDERED }));
}
