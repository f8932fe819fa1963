//! Asking stateright.

use std::collections::BTreeSet;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::{liveness, protocol::Protocol, step::Step};

/// No shortest counterexample is longer.
const DEEPEST: usize = 40;

/// Goes through all moments: each property holds at each, each situation came up, nothing goes on for ever, and there
/// were at least so many moments.
pub(crate) fn prove(name: &str, at_least: usize, protocol: Protocol) {
    let checker = protocol.checker().spawn_bfs().join();
    for property in protocol.properties() {
        let found = checker.discovery(property.name).map(stateright::Path::into_actions);
        match (property.expectation, found) {
            (Expectation::Sometimes, None) => panic!("{name}: never came up: {}", property.name),
            (Expectation::Always, Some(steps)) => panic!("{name}: not so: {}\n{steps:#?}", property.name),
            _ => {}
        }
    }
    let moments = checker.unique_state_count();
    let walk = liveness::walk(&protocol).unwrap_or_else(|(there, round)| {
        panic!("{name}: goes on for ever\n{there:#?}\nand then again and again\n{round:#?}")
    });
    println!("{name}: {walk:?}, at most {} steps long", checker.max_depth() - 1);
    assert_eq!(walk.moments, moments, "{name}: two ways to walk, the same moments");
    assert!(moments >= at_least, "{name}: {moments} moments are too few to be all");
    let may_be_late = protocol.bounds.faults.stalls > 0;
    assert!(!may_be_late || walk.refused > 0, "{name}: no end of a stale claim was refused");
}

/// The shortest run that breaks the property: for each length, from the shortest, all runs.
///
/// Its length can not be had from one search: stateright keeps the last counterexample it meets, not the first.
pub(crate) fn break_down(name: &str, protocol: Protocol, property: &'static str) -> Vec<Step> {
    for deepest in 2..DEEPEST {
        let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
        let checker = protocol.checker().target_max_depth(deepest).finish_when(found).spawn_bfs().join();
        if let Some(path) = checker.discovery(property) {
            let steps = path.into_actions();
            println!("{name}: after {} steps, not so: {property}", steps.len());
            for step in &steps {
                println!("    {step:?}");
            }
            return steps;
        }
    }
    panic!("{name}: no run of up to {DEEPEST} steps breaks: {property}")
}
