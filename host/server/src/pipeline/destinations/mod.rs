//! Where deliveries go: how much at once and how fast, and what is left alone for a while, so that one that is slow, down or
//! gone costs neither the others nor itself.
//!
//! A *destination* is what [`Action::destination`](crate::observers::Action::destination) names: an origin, or a server of
//! the host's. It has slots, a share of the host's places, a rate and a circuit breaker ([`gate`], [`pacer`]). An *endpoint*
//! is one action of one observer; it can be paused ([`endpoints`]). Whatever is held back waits in the store: claims pass
//! over its lanes, and what this host owns already and has not started is handed back. So waiting costs no attempt.
//!
//! All of it is decided here, in memory. `upkeep::holds` writes down what changed, and takes over what others wrote.

mod destination;
mod endpoints;
mod gate;
mod pacer;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use aftercommit_core::{BreakerSettings, Clock, Rate, Timestamp};
use aftercommit_store::{Hold, Lane, Target};
use tokio::sync::Notify;

use self::destination::{Destination, Eased, PACE};
pub(super) use self::{
    destination::{Standing, Turn, Visit},
    endpoints::Endpoints,
    gate::{Change, Reason, SAME},
};
use crate::{config::DestinationConfig, observers::Action};

/// How much may be held for one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Deliveries that run at once.
    pub(super) concurrency: usize,
    /// Places that every destination may hold.
    pub(super) share: usize,
    /// Places that a fast destination may hold.
    pub(super) most: usize,
}

/// What destinations are bounded by.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) channel_capacity: usize,
    pub(super) max_concurrency: usize,
    pub(super) per_destination: usize,
    pub(super) breaker: BreakerSettings,
    /// Those that are bounded in another way, by name.
    pub(super) named: BTreeMap<String, DestinationConfig>,
}

/// All destinations that were seen or have bounds of their own, by name.
pub(super) struct Destinations {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// Told when a destination that was full or held back has room again.
    room: Arc<Notify>,
    /// Told when something is to be written down.
    changed: Arc<Notify>,
    /// Who waits until there is less to do for the fast ones.
    eased: Arc<Eased>,
    /// How many hosts share the rates.
    hosts: AtomicUsize,
    known: Mutex<HashMap<String, Arc<Destination>>>,
}

impl Settings {
    /// How much of the host one destination may hold. Its share of the places is its share of the concurrency; a fast
    /// one may hold more, and leaves a quarter to the others.
    fn bounds(&self, name: &str) -> Bounds {
        let concurrency =
            self.named.get(name).and_then(|it| it.max_concurrency).unwrap_or(self.per_destination);
        let share = (self.channel_capacity * concurrency / self.max_concurrency).max(concurrency);
        Bounds { concurrency, share, most: (self.channel_capacity / 4 * 3).max(share) }
    }

    fn rate(&self, name: &str) -> Option<Rate> {
        self.named.get(name).and_then(DestinationConfig::rate)
    }
}

impl Destinations {
    pub(super) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        room: Arc<Notify>,
        changed: Arc<Notify>,
    ) -> Self {
        let destinations = Self {
            settings,
            clock,
            room,
            changed,
            eased: Arc::default(),
            hosts: AtomicUsize::new(1),
            known: Mutex::default(),
        };
        // What is not known is claimed without a bound: who has a rate keeps it from the first claim on, and leaves to other
        // hosts what they have tokens for.
        for name in destinations.settings.named.keys() {
            destinations.get(name);
        }
        destinations
    }

    /// The destination of an action.
    pub(super) fn of(&self, action: &Action) -> Arc<Destination> {
        let destination = self.get(action.destination());
        if let Some(batch) = &action.written.batch {
            destination.make_room_for(batch.max_items);
        }
        destination
    }

    /// The destination of this name.
    pub(super) fn get(&self, name: &str) -> Arc<Destination> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = known.get(name) {
            return Arc::clone(destination);
        }
        let destination = Arc::new(self.make(name));
        known.insert(name.to_owned(), Arc::clone(&destination));
        destination
    }

    fn make(&self, name: &str) -> Destination {
        let Self { settings, clock, room, changed, eased, hosts, known: _ } = self;
        let bounds = settings.bounds(name);
        let gate =
            gate::Gate::new(settings.breaker, bounds.concurrency, Arc::clone(changed), Arc::clone(room));
        let pacer =
            pacer::Pacer::new(settings.rate(name), hosts.load(Relaxed), bounds.concurrency, clock.now());
        Destination::new(name, bounds, gate, pacer, Arc::clone(clock), Arc::clone(room), Arc::clone(eased))
    }

    /// How much may be taken at once. While a fast destination is nearly full, waits until it has room for many again, or
    /// for as long as it takes to see that it is not fast any more. What is taken beyond its room would be written
    /// down, to be claimed and read a second time.
    pub(super) async fn ease(&self) -> usize {
        let eased = self.eased.told.notified();
        // Before the look: what ends after it tells.
        self.eased.is_waited_for.store(true, SeqCst);
        let mut room = self.room_of_the_fast();
        if room == 0 {
            // It may hang from now on; then others must not wait for it.
            let _ = tokio::time::timeout(PACE, eased).await;
            room = self.room_of_the_fast();
        }
        self.eased.is_waited_for.store(false, SeqCst);
        if room == 0 { usize::MAX } else { room }
    }

    /// The least room of the fast destinations; 0 when one has no room for many.
    fn room_of_the_fast(&self) -> usize {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter_map(|destination| destination.room_if_fast()).min().unwrap_or(usize::MAX)
    }

    /// The lane of each destination whose call failed last, where that matters.
    pub(super) fn failed_last(&self, name: &str) -> Option<Lane> {
        self.get(name).gate().failed_last()
    }

    /// Those that do not just take what comes, by name.
    pub(super) fn standings(&self) -> HashMap<String, Standing> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = |(name, destination): (&String, &Arc<Destination>)| {
            destination.standing().map(|standing| (name.clone(), standing))
        };
        known.iter().filter_map(standing).collect()
    }

    /// Whether any of them has a rate.
    pub(super) fn have_rates(&self) -> bool {
        self.settings.named.values().any(|named| named.rate().is_some())
    }

    /// So many hosts share the rates.
    pub(super) fn share_rates(&self, hosts: usize) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.hosts.store(hosts, Relaxed);
        known.values().for_each(|destination| destination.pacer().share(hosts));
    }

    /// What is to be written down, by name.
    pub(super) fn changes(&self) -> Vec<(String, Change)> {
        self.all().into_iter().filter_map(|(name, it)| Some((name, it.gate().change()?))).collect()
    }

    /// A change could not be written down.
    pub(super) fn not_written(&self, name: &str) {
        self.get(name).gate().not_written();
    }

    /// Takes over what is written down.
    pub(super) fn follow(&self, holds: &[Hold]) {
        let mut written: HashMap<&str, (Timestamp, u32)> = HashMap::new();
        for hold in holds {
            if let (Target::Destination(name), Some(until)) = (&hold.target, hold.until) {
                written.insert(name, (until, hold.openings));
                // One that this host has not met yet is known from now on.
                self.get(name);
            }
        }
        for (name, destination) in self.all() {
            destination.gate().follow(&name, written.get(&*name).copied());
        }
    }

    fn all(&self) -> Vec<(String, Arc<Destination>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, destination)| (name.clone(), Arc::clone(destination))).collect()
    }
}

/// A rate's window: so much of it may wait in this host's memory for its token.
const WINDOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
