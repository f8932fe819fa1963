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
    /// Lanes of destinations that have room for a few, and for how many.
    pub(super) narrow: Vec<(usize, Vec<Lane>)>,
    /// When this may have changed, if time alone changes it.
    pub(super) until: Option<Timestamp>,
}

impl Claimable {
    /// By what `dispatch` knows now.
    pub(super) fn now(dispatch: &Dispatch) -> Self {
        let snapshot = dispatch.snapshot.load();
        let standings = dispatch.destinations.standings();
        let large = dispatch.room.memory().passed_over();
        let mut claimable = Self::default();
        let has_narrow = standings.values().any(|standing| matches!(standing, Standing::Narrow(1..)));
        let mut narrow = HashMap::<&str, Vec<Lane>>::new();
        for action in snapshot.all_actions() {
            if !large.is_empty() && large.contains(&action.lane()) {
                continue;
            }
            if action.configured.is_err() || dispatch.endpoints.is_paused(action) {
                claimable.except.push(action.lane());
                continue;
            }
            match standings.get(action.destination()) {
                None => {
                    if has_narrow {
                        claimable.free.push(action.lane());
                    }
                    continue;
                }
                // Others than time may make room; then the claimer is told, and this stands behind it.
                Some(Standing::Full) => claimable.changes_at(dispatch.clock.now()),
                Some(Standing::Held(until)) => claimable.changes_at(dispatch.clock.of_steady(*until)),
                Some(Standing::Narrow(0)) => {}
                Some(Standing::Narrow(_)) => {
                    narrow.entry(action.destination()).or_default().push(action.lane());
                }
            }
            claimable.except.push(action.lane());
        }
        // Also those of observers that were removed.
        claimable.except.extend(large);
        for (destination, lanes) in narrow {
            if let Some(Standing::Narrow(room)) = standings.get(destination) {
                claimable.narrow.push((*room, lanes));
            }
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
