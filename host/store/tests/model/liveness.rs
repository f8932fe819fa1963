//! That nothing goes on for ever.
//!
//! `eventually` of stateright is not asked: it does not see a run that ends in a circle, and forgets what was not yet
//! fulfilled where two runs meet. Instead, two facts that need no assumption of fairness, together:
//!
//! 1. There is no circle among the moments that can be reached. There are finitely many, so every run is finite,
//!    whatever is done first: it comes to a moment at which nothing can happen any more.
//! 2. At each of those everything has ended. That is one of the properties.
//!
//! This file shows the first by a walk in depth: a step back to a moment on the way there closes a circle.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use stateright::Model;

use crate::{protocol::Protocol, state::State, step::Step};

/// What the walk came by.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Walk {
    pub(crate) moments: usize,
    pub(crate) steps: usize,
    /// Completions, and deliveries handed back, that came too late and changed nothing.
    pub(crate) refused: usize,
}

/// A moment on the way, and what is still to be tried from there.
struct Stop {
    state: State,
    name: u64,
    left: Vec<Step>,
    came_by: Option<Step>,
}

/// Walks through all moments. The error is a run that ends in a circle: the steps to it, and those of one round.
pub(crate) fn walk(protocol: &Protocol) -> Result<Walk, (Vec<Step>, Vec<Step>)> {
    let mut walk = Walk::default();
    // Whether a moment that was seen is on the way to the present one.
    let mut is_on_way = HashMap::new();
    let mut way: Vec<Stop> =
        protocol.init_states().iter().map(|state| Stop::at(protocol, state, None)).collect();
    is_on_way.extend(way.iter().map(|stop| (stop.name, true)));
    while let Some(stop) = way.last_mut() {
        let Some(step) = stop.left.pop() else {
            is_on_way.insert(stop.name, false);
            way.pop();
            continue;
        };
        let Some(state) = protocol.next_state(&stop.state, step) else { continue };
        walk.steps += 1;
        walk.refused += usize::from(is_refusal(&stop.state, step, &state));
        match is_on_way.get(&name(&state)) {
            Some(true) => return Err(circle(&way, name(&state), step)),
            Some(false) => {}
            None => {
                let next = Stop::at(protocol, &state, Some(step));
                is_on_way.insert(next.name, true);
                way.push(next);
            }
        }
    }
    walk.moments = is_on_way.len();
    Ok(walk)
}

impl Stop {
    fn at(protocol: &Protocol, state: &State, came_by: Option<Step>) -> Self {
        let mut left = Vec::new();
        protocol.actions(state, &mut left);
        Self { state: *state, name: name(state), left, came_by }
    }
}

/// Moments are told apart by 64 bits, as stateright does: among a million, two are taken for one with a probability of
/// one in thirty million.
fn name(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

fn is_refusal(before: &State, step: Step, after: &State) -> bool {
    matches!(step, Step::Write { .. }) && before.tables == after.tables
}

fn circle(way: &[Stop], first: u64, last: Step) -> (Vec<Step>, Vec<Step>) {
    let came_by = |stops: &[Stop]| stops.iter().filter_map(|stop| stop.came_by).collect::<Vec<_>>();
    let start = way.iter().position(|stop| stop.name == first).unwrap_or_default();
    let (there, mut round) = (came_by(&way[..=start]), came_by(&way[start + 1..]));
    round.push(last);
    (there, round)
}
