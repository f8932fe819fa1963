//! Addresses at destinations: one path, channel, device or number each (see `aftercommit_runtime`'s `Addressed`).
//!
//! Those that configurations name in full are as few as actions. Those that templates make are as many as rows: one is known from its
//! first failure on, and a bounded number of them, of which the one that was used least lately goes first.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use aftercommit_core::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::destination::Destination;

/// As many made by templates are known. Each takes a few hundred bytes, and a row of the table while it is held back.
const MOST_MADE: usize = 512;

/// Where nothing went for so long after its time was over, an address is forgotten.
pub(in crate::pipeline) const FORGOTTEN: Duration = Duration::from_mins(10);

/// All that are known, by name.
#[derive(Default)]
pub(super) struct Addresses {
    known: Mutex<Known>,
    /// How many are known that a template made: where none failed, nobody has to make one.
    made: AtomicUsize,
}

#[derive(Default)]
struct Known {
    fixed: HashMap<Arc<str>, Arc<Destination>>,
    made: HashMap<Arc<str>, Made>,
    /// Counts uses.
    clock: u64,
}

struct Made {
    address: Arc<Destination>,
    used: u64,
}

impl Addresses {
    /// One that a configuration names in full.
    pub(super) fn fixed(&self, name: &Arc<str>, make: impl FnOnce() -> Destination) -> Arc<Destination> {
        let mut known = self.lock();
        if let Some(address) = known.fixed.get(name) {
            return Arc::clone(address);
        }
        // Another action's template made it before.
        let address = known.made.remove(name).map_or_else(|| Arc::new(make()), |made| made.address);
        known.fixed.insert(Arc::clone(name), Arc::clone(&address));
        self.made.store(known.made.len(), Release);
        address
    }

    /// Whether any that a template made is known.
    pub(super) fn has_made(&self) -> bool {
        self.made.load(Acquire) > 0
    }

    /// One that is known.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Destination>> {
        let mut known = self.lock();
        known.clock += 1;
        let used = known.clock;
        if let Some(made) = known.made.get_mut(name) {
            made.used = used;
            return Some(Arc::clone(&made.address));
        }
        known.fixed.get(name).cloned()
    }

    /// One that a template made, known from now on; none if too many are held back.
    pub(super) fn made(
        &self,
        name: Arc<str>,
        now: Timestamp,
        make: impl FnOnce() -> Destination,
    ) -> Option<Arc<Destination>> {
        if let Some(address) = self.find(&name) {
            return Some(address);
        }
        let mut known = self.lock();
        if known.made.len() >= MOST_MADE {
            let over = known.made.iter().filter(|(_, made)| made.address.gate().is_over(now, FORGOTTEN));
            let oldest = over.min_by_key(|(_, made)| made.used).map(|(name, _)| Arc::clone(name))?;
            known.made.remove(&oldest);
        }
        let used = known.clock;
        let present = known.made.entry(name).or_insert_with(|| Made { address: Arc::new(make()), used });
        let address = Arc::clone(&present.address);
        self.made.store(known.made.len(), Release);
        Some(address)
    }

    /// Forgets those that no configuration names in full any more and where nothing is under way.
    pub(super) fn keep_fixed(&self, used: &HashSet<&str>, now: Timestamp) {
        self.lock().fixed.retain(|name, address| used.contains(&**name) || !address.is_idle(now));
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Destination>> {
        let known = self.lock();
        known.fixed.values().chain(known.made.values().map(|made| &made.address)).cloned().collect()
    }

    /// Those that configurations name in full.
    pub(super) fn all_fixed(&self) -> Vec<(Arc<str>, Arc<Destination>)> {
        self.lock().fixed.iter().map(|(name, address)| (Arc::clone(name), Arc::clone(address))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}
