//! The protocol as the code has it: everything holds. Each test has the faults that have something to do with each
//! other. The numbers of moments are those of the day on which they were written: fewer means that something can not
//! happen any more.

use aftercommit_core::FailurePolicy;

use crate::{
    bounds::{Attempt, Bounds, Faults},
    protocol::Protocol,
    rules::Rules,
    search::prove,
};

const NONE: Faults = Faults::NONE;

pub(crate) const WELL: &[Attempt] = &[Attempt::Succeeds];
pub(crate) const WELL_OR_AGAIN: &[Attempt] = &[Attempt::Succeeds, Attempt::FailsForNow];
pub(crate) const WELL_OR_NEVER: &[Attempt] = &[Attempt::Succeeds, Attempt::FailsForGood];
pub(crate) const DEADLY: &[Attempt] = &[Attempt::KillsItsHost];
const WELL_OR_DEADLY: &[Attempt] = &[Attempt::Succeeds, Attempt::KillsItsHost];

/// Two attempts, two events that are there from the start, no fault.
pub(crate) const CALM: Bounds = Bounds {
    max_attempts: 2,
    events: 2,
    ordered: false,
    on_failure: FailurePolicy::Dlq,
    results: [WELL_OR_AGAIN, WELL_OR_AGAIN],
    late_commit: false,
    faults: NONE,
};

/// The events belong to one entity, and the second comes at any time.
pub(crate) const ORDERED: Bounds = Bounds { ordered: true, late_commit: true, ..CALM };

fn holds(name: &str, at_least: usize, bounds: Bounds) {
    prove(name, at_least, Protocol::folded(Rules::CODE, bounds));
}

#[test]
fn hosts_that_crash_and_stall() {
    holds("no fault", 243, CALM);
    let faults = Faults { crashes: 1, stalls: 1, claims_unentered: 1, ..NONE };
    let results = [WELL_OR_AGAIN, WELL_OR_NEVER];
    holds("crash and stall", 395_952, Bounds { faults, results, on_failure: FailurePolicy::Log, ..CALM });
    let faults = Faults { stalls: 2, ..NONE };
    holds("two stalls", 155_664, Bounds { faults, results: [WELL_OR_AGAIN, WELL], ..CALM });
}

#[test]
fn three_attempts_two_crashes_and_a_replay() {
    let faults = Faults { crashes: 2, replays: 1, ..NONE };
    holds("three attempts", 108_560, Bounds { max_attempts: 3, faults, ..CALM });
}

/// `BOUNDED_RUNS` is looked at here.
#[test]
fn actions_that_kill_their_host() {
    let (crashes, stalls) = (Faults { crashes: 1, ..NONE }, Faults { stalls: 1, ..NONE });
    holds("deadly, crash", 42_516, Bounds { results: [DEADLY, DEADLY], faults: crashes, ..CALM });
    holds("deadly, stall", 30_000, Bounds { results: [DEADLY, WELL], faults: stalls, ..CALM });
    let faults = Faults { replays: 1, ..NONE };
    holds("deadly, replay", 5_000, Bounds { results: [WELL_OR_DEADLY, WELL], faults, ..CALM });
}

/// `NEVER_UNTRIED` and `TAKES_NO_OTHER` are looked at here.
#[test]
fn only_what_was_begun_is_given_up() {
    let faults = Faults { crashes: 3, ..NONE };
    holds(
        "one attempt, three crashes",
        13_506,
        Bounds { max_attempts: 1, results: [WELL, WELL], faults, ..CALM },
    );
    holds("one attempt, deadly", 892, Bounds { max_attempts: 1, results: [DEADLY, WELL], ..CALM });
    holds("ordered, deadly", 228, Bounds { max_attempts: 1, results: [DEADLY, WELL], ..ORDERED });
}

#[test]
fn events_of_one_entity() {
    let faults = Faults { crashes: 1, stalls: 1, claims_unentered: 1, ..NONE };
    holds("ordered, crash and stall", 208_412, Bounds { faults, ..ORDERED });
    let results = [WELL_OR_NEVER, WELL_OR_AGAIN];
    let faults = Faults { stalls: 1, claims_unentered: 1, replays: 1, ..NONE };
    holds("ordered, stall and replay", 99_069, Bounds { faults, results, late_commit: false, ..ORDERED });
    let faults = Faults { crashes: 1, stalls: 1, replays: 1, ..NONE };
    let results = [WELL_OR_NEVER, WELL];
    holds("ordered, crash, stall and replay", 26_371, Bounds { results, faults, ..ORDERED });
}

#[test]
fn hosts_that_stop_and_answers_that_are_lost() {
    let stop = Faults { stops: 1, ..NONE };
    let faults = Faults { hand_backs: 1, crashes: 1, ..stop };
    holds("ordered, stop, hand back and crash", 5_341, Bounds { faults, late_commit: false, ..ORDERED });
    holds("stop and lost end", 7_512, Bounds { faults: Faults { lost_ends: 1, ..stop }, ..CALM });
    let faults = Faults { stalls: 1, ..stop };
    holds("stop and stall", 17_963, Bounds { faults, results: [WELL, WELL], ..CALM });
    let faults = Faults { lost_ends: 1, stalls: 1, ..NONE };
    holds("lost end and stall", 22_885, Bounds { faults, results: [WELL_OR_AGAIN, WELL], ..CALM });
}

/// A host claims the next with the first, and runs one after the other.
#[test]
fn runs_of_an_entity() {
    let runs = Bounds { late_commit: false, ..ORDERED };
    holds("run", 77, runs);
    let faults = Faults { crashes: 1, refused_ends: 1, ..NONE };
    holds("run, crash and refused", 2_741, Bounds { faults, ..runs });
    let faults = Faults { stalls: 1, lost_ends: 1, ..NONE };
    holds("run, stall and lost end", 9_343, Bounds { faults, results: [WELL_OR_AGAIN, WELL], ..runs });
    let faults = Faults { hand_backs: 1, stops: 1, ..NONE };
    holds("run, hand back and stop", 1_017, Bounds { faults, ..runs });
    let three = Bounds { events: 3, max_attempts: 1, results: [WELL_OR_NEVER, WELL], ..runs };
    holds("run and replay", 299, Bounds { faults: Faults { replays: 1, ..NONE }, ..three });
    holds("run of three and crash", 693, Bounds { faults: Faults { crashes: 1, ..NONE }, ..three });
    let results = [DEADLY, WELL];
    holds("run, deadly", 185, Bounds { max_attempts: 1, results, ..runs });
}

/// What a host owns and does not know of.
#[test]
fn claims_whose_answer_is_lost() {
    let lost = Faults { lost_claims: 1, ..NONE };
    let faults = Faults { lost_ends: 1, crashes: 1, ..lost };
    holds("lost claim", 49_689, Bounds { faults, ..CALM });
    let faults = Faults { stalls: 1, claims_unentered: 1, ..lost };
    let results = [WELL_OR_AGAIN, WELL];
    holds("ordered, lost claim", 77_198, Bounds { faults, results, late_commit: false, ..ORDERED });
}

#[test]
fn ends_that_the_server_lost() {
    let faults = Faults { server_crashes: 1, ..NONE };
    holds("server", 144_500, Bounds { faults, late_commit: true, ..CALM });
    let faults = Faults { crashes: 1, ..faults };
    let results = [WELL, WELL];
    holds("server and host", 40_255, Bounds { faults, results, late_commit: true, ..CALM });
}

/// `BOUNDED_RUNS` is looked at here, too: more ends are refused than there are attempts.
#[test]
fn ends_that_the_database_refuses() {
    let faults = Faults { refused_ends: 3, ..NONE };
    holds("refused", 1_008, Bounds { faults, results: [WELL_OR_AGAIN, WELL], ..CALM });
    let faults = Faults { stalls: 1, ..faults };
    holds("ordered, refused and stall", 10_110, Bounds { faults, results: [WELL, WELL], ..ORDERED });
}

/// A delivery that is handed back loses the number of its claim, and the next claim has it again.
#[test]
fn deliveries_handed_back_twice() {
    let faults = Faults { lost_ends: 1, hand_backs: 1, ..NONE };
    let with_crash = Faults { crashes: 1, ..faults };
    let results = [WELL_OR_AGAIN, WELL];
    holds("handed back twice", 9_795, Bounds { results, faults: with_crash, ..CALM });
    let with_stop = Faults { stops: 1, ..with_crash };
    holds("ordered, handed back twice", 37_226, Bounds { faults: with_stop, ..ORDERED });
    let with_stall = Faults { stalls: 1, lost_claims: 1, ..faults };
    let results = [WELL, WELL];
    holds("handed back twice, lost claim and stall", 73_428, Bounds { results, faults: with_stall, ..CALM });
}
