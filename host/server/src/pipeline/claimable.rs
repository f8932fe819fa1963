//! What this host may claim now: everything, less what can not run, is held back, has no room or no memory; and of what has
//! little room, no more than that.

use std::collections::{HashMap, HashSet};

use aftercommit_core::{Clock as _, Timestamp};
use aftercommit_store::Lane;

use super::{destinations::Standing, dispatch::Dispatch};

/// What may be claimed now.
#[derive(Default)]
pub(super) struct Claimable {
    /// Lanes that are not to be claimed without a bound.
    except: Vec<Lane>,
    /// The others, if that matters: if there is a narrow one.
    free: Vec<Lane>,
    /// Destinations that have room for a few.
    pub(super) narrow: Vec<Narrow>,
    /// When this may have changed, if time alone changes it.
    pub(super) until: Option<Timestamp>,
}

/// A destination that has room for a few.
pub(super) struct Narrow {
    pub(super) room: usize,
    /// The lanes that are claimed.
    lanes: Vec<Lane>,
    /// Whether it is tried: what was not tried before is claimed first.
    pub(super) is_tried: bool,
    /// One that is claimed only if the others have nothing: its call failed last.
    last: Option<Lane>,
}

impl Narrow {
    /// The lanes that are claimed together; each time only if those before had nothing.
    pub(super) fn tries(&self) -> impl Iterator<Item = &[Lane]> {
        let tries = [&*self.lanes, self.last.as_slice()];
        tries.into_iter().filter(|lanes| !lanes.is_empty())
    }
}

impl Claimable {
    /// By what `dispatch` knows now.
    pub(super) fn now(dispatch: &Dispatch) -> Self {
        let snapshot = dispatch.snapshot.load();
        let standings = dispatch.destinations.standings();
        let large = dispatch.room.memory().passed_over();
        let mut claimable = Self::default();
        let has_narrow = standings.has_narrow();
        let mut narrow = HashMap::<&str, Narrow>::new();
        for action in snapshot.all_actions() {
            if !large.is_empty() && large.contains(&action.lane()) {
                continue;
            }
            if action.configured.is_err() || dispatch.endpoints.is_paused(action) {
                claimable.except.push(action.lane());
                continue;
            }
            let standing = standings.of(action.destination(), snapshot.addressed(action));
            match standing {
                None => {
                    if has_narrow {
                        claimable.free.push(action.lane());
                    }
                    continue;
                }
                // Others than time may make room; then the claimer is told, and this stands behind it.
                Some((_, Standing::Full)) => claimable.changes_at(dispatch.clock.now()),
                Some((_, Standing::Held(until))) => claimable.changes_at(dispatch.clock.of_steady(until)),
                Some((_, Standing::Narrow(0) | Standing::Tried(0))) => {}
                Some((name, standing @ (Standing::Narrow(room) | Standing::Tried(room)))) => {
                    let is_tried = matches!(standing, Standing::Tried(_));
                    let new = || Narrow { room, lanes: Vec::new(), is_tried, last: None };
                    narrow.entry(name).or_insert_with(new).lanes.push(action.lane());
                }
            }
            claimable.except.push(action.lane());
        }
        // Also those of observers that were removed.
        claimable.except.extend(large);
        for (name, mut narrow) in narrow {
            if narrow.is_tried && narrow.lanes.len() > 1 {
                narrow.last = dispatch.destinations.failed_last(name);
                narrow.lanes.retain(|lane| Some(lane) != narrow.last.as_ref());
            }
            claimable.narrow.push(narrow);
        }
        claimable
    }

    /// Lanes to pass over when everything is claimed that has room.
    pub(super) fn except(&self) -> &[Lane] {
        &self.except
    }

    /// Lanes to pass over when only these are to be claimed.
    pub(super) fn all_but(&self, only: &[Lane]) -> Vec<Lane> {
        let only: HashSet<&Lane> = only.iter().collect();
        self.free.iter().chain(self.except.iter().filter(|lane| !only.contains(lane))).cloned().collect()
    }

    fn changes_at(&mut self, at: Timestamp) {
        self.until = Some(self.until.map_or(at, |until| until.min(at)));
    }
}
