//! Where deliveries go: how much at once and how fast, and what is left alone for a while, so that one that is slow, down or
//! gone costs neither the others nor itself.
//!
//! A *destination* is what [`Action::destination`](crate::observers::Action::destination) names: an origin, or a server of
//! the host's. It has slots, a share of the host's places, a rate and a circuit breaker ([`gate`], [`pacer`]). An *endpoint*
//! is one action of one observer; it can be paused ([`endpoints`]). An *address* is what a delivery goes to at a destination that serves
//! several ([`addresses`]): it has a breaker and a rate of its own, and is held back before its destination is. Whatever is held back
//! waits in the store: claims pass over its lanes, and what this host owns already and has not started is handed back. So waiting
//! costs no attempt.
//!
//! All of it is decided here, in memory. `upkeep::holds` writes down what changed, and takes over what others wrote.

mod addresses;
mod destination;
mod endpoints;
mod gate;
mod pacer;
mod visit;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use aftercommit_core::{BreakerSettings, Clock, Rate, Timestamp};
use aftercommit_runtime::{Addressed, PreparedEvent};
use aftercommit_store::{Hold, Lane, Target};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::{
    addresses::Addresses,
    destination::{Destination, Eased, PACE},
    visit::Kind,
};
pub(super) use self::{
    addresses::FORGOTTEN,
    destination::Standing,
    endpoints::Endpoints,
    gate::{Change, Reason, SAME},
    pacer::RateNews,
    visit::{Ended, HeldPlace, Turn, Visit},
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
    addresses: Addresses,
    /// Rates that were learned before this host started, in calls a second.
    recalled: Mutex<HashMap<Target, f64>>,
}

/// What those that do not just take what comes take now.
pub(super) struct Standings {
    destinations: HashMap<String, Standing>,
    addresses: HashMap<Arc<str>, Standing>,
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
            addresses: Addresses::default(),
            recalled: Mutex::default(),
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

    /// Holds a place for a delivery of this action.
    pub(super) fn hold(&self, action: &Action) -> HeldPlace {
        HeldPlace::at(&self.of(action))
    }

    /// The destination of this name.
    pub(super) fn get(&self, name: &str) -> Arc<Destination> {
        let mut known = self.known.lock();
        if let Some(destination) = known.get(name) {
            return Arc::clone(destination);
        }
        let destination = Arc::new(self.make(name));
        known.insert(name.to_owned(), Arc::clone(&destination));
        destination
    }

    /// A delivery on its way. `addressed` says how the destination tells addresses apart.
    pub(super) fn visit(&self, action: &Action, addressed: Addressed<'_>, event: &PreparedEvent) -> Visit {
        let destination = self.of(action);
        match addressed {
            Addressed::Server => Visit::new(&destination, None, Kind::Alone),
            Addressed::Fixed(name) => {
                let address = self.fixed_address(name, action);
                Visit::new(&destination, Some(&address), Kind::Fixed)
            }
            Addressed::Made(_) => {
                let name = self.addresses.has_made().then(|| action.address(event)).flatten();
                let address = name.and_then(|name| self.addresses.find(&name));
                Visit::new(&destination, address.as_ref(), Kind::Made)
            }
        }
    }

    /// The address that an action's configuration names in full.
    pub(super) fn fixed_address(&self, name: &Arc<str>, action: &Action) -> Arc<Destination> {
        self.addresses.fixed(name, || {
            let address = self.make_address(name, self.settings.bounds(action.destination()));
            if let Some(batch) = &action.written.batch {
                address.make_room_for(batch.max_items);
            }
            address
        })
    }

    /// An address that a template made, known from now on; none if too many are held back.
    fn made_address(&self, name: Arc<str>, destination: &Destination) -> Option<Arc<Destination>> {
        let of = Arc::clone(&name);
        let make = || self.make_address(&of, destination.bounds());
        self.addresses.made(name, self.clock.now(), make)
    }

    fn make(&self, name: &str) -> Destination {
        let (bounds, rate) = (self.settings.bounds(name), self.settings.rate(name));
        self.make_with(&Target::Destination(name.to_owned()), bounds, rate)
    }

    fn make_address(&self, name: &str, bounds: Bounds) -> Destination {
        self.make_with(&Target::Address(name.to_owned()), bounds, None)
    }

    fn make_with(&self, target: &Target, bounds: Bounds, rate: Option<Rate>) -> Destination {
        let recalled = self.recalled.lock().remove(target);
        let Self { settings, clock, room, changed, eased, hosts, .. } = self;
        let gate =
            gate::Gate::new(settings.breaker, bounds.concurrency, Arc::clone(changed), Arc::clone(room));
        let hosts = hosts.load(Relaxed);
        let pacer = pacer::Pacer::new(rate, recalled, hosts, bounds.concurrency, clock.now());
        Destination::new(
            &target.to_string(),
            bounds,
            gate,
            pacer,
            Arc::clone(clock),
            Arc::clone(room),
            Arc::clone(eased),
        )
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
        let known = self.known.lock();
        known.values().filter_map(|destination| destination.room_if_fast()).min().unwrap_or(usize::MAX)
    }

    /// The lane of the call that failed last at a destination or an address, where that matters.
    pub(super) fn failed_last(&self, name: &str) -> Option<Lane> {
        let address = self.addresses.find(name).and_then(|address| address.gate().failed_last());
        address.or_else(|| self.get(name).gate().failed_last())
    }

    /// What those that do not just take what comes take now.
    pub(super) fn standings(&self) -> Standings {
        let known = self.known.lock();
        let standing = |(name, it): (&String, &Arc<Destination>)| Some((name.clone(), it.standing()?));
        let address = |(name, it): (Arc<str>, Arc<Destination>)| Some((name, it.standing()?));
        Standings {
            destinations: known.iter().filter_map(standing).collect(),
            addresses: self.addresses.all_fixed().into_iter().filter_map(address).collect(),
        }
    }

    /// Whether any of them has a rate.
    pub(super) fn have_rates(&self) -> bool {
        self.settings.named.values().any(|named| named.rate().is_some())
    }

    /// So many hosts share the rates.
    pub(super) fn share_rates(&self, hosts: usize) {
        let known = self.known.lock();
        self.hosts.store(hosts, Relaxed);
        known.values().for_each(|destination| destination.pacer().share(hosts));
    }

    /// What is to be written down.
    pub(super) fn changes(&self) -> Vec<(Target, Change)> {
        self.targets().into_iter().filter_map(|(target, it)| Some((target, it.gate().change()?))).collect()
    }

    /// A change could not be written down.
    pub(super) fn not_written(&self, target: &Target) {
        if let Some(it) = self.of_target(target) {
            it.gate().not_written();
        }
    }

    /// Takes over what is written down.
    pub(super) fn follow(&self, holds: &[Hold]) {
        let mut written: HashMap<&Target, (Timestamp, u32)> = HashMap::new();
        for hold in holds {
            let Some(until) = hold.until else { continue };
            // One that this host has not met yet is known from now on.
            match &hold.target {
                Target::Destination(name) => drop(self.get(name)),
                Target::Address(name) => {
                    let make = || self.make_address(name, self.settings.bounds(name));
                    drop(self.addresses.made(name.as_str().into(), self.clock.now(), make));
                }
                Target::Endpoint(..) => continue,
            }
            written.insert(&hold.target, (until, hold.openings));
        }
        for (target, it) in self.targets() {
            it.gate().follow(it.name(), written.get(&target).copied());
        }
    }

    /// Forgets the destinations and addresses that no action goes to any more: a host lives through any number of them.
    pub(super) fn keep_used(&self, destinations: &HashSet<&str>, addresses: &HashSet<&str>) {
        let now = self.clock.now();
        let is_used = |name: &str| destinations.contains(name) || self.settings.named.contains_key(name);
        let mut known = self.known.lock();
        known.retain(|name, destination| is_used(name) || !destination.is_idle(now));
        drop(known);
        self.addresses.keep_fixed(addresses, now);
    }

    /// Rates that were learned before: what is made from now on begins with them.
    pub(super) fn recall(&self, rates: impl IntoIterator<Item = (Target, f64)>) {
        let mut recalled = self.recalled.lock();
        recalled.extend(rates);
    }

    /// What is to be written down of learned rates.
    pub(super) fn rate_news(&self) -> Vec<(Target, RateNews)> {
        let now = self.clock.now();
        self.targets().into_iter().filter_map(|(target, it)| Some((target, it.pacer().news(now)?))).collect()
    }

    /// It could not be written down.
    pub(super) fn rate_not_written(&self, target: &Target) {
        if let Some(it) = self.of_target(target) {
            it.pacer().not_written();
        }
    }

    fn of_target(&self, target: &Target) -> Option<Arc<Destination>> {
        match target {
            Target::Destination(name) => Some(self.get(name)),
            Target::Address(name) => self.addresses.find(name),
            Target::Endpoint(..) => None,
        }
    }

    /// All destinations and addresses.
    fn targets(&self) -> Vec<(Target, Arc<Destination>)> {
        let addresses = self.addresses.all().into_iter();
        let addresses = addresses.map(|it| (Target::Address(it.name().to_owned()), it));
        self.all().into_iter().map(|(name, it)| (Target::Destination(name), it)).chain(addresses).collect()
    }

    fn all(&self) -> Vec<(String, Arc<Destination>)> {
        let known = self.known.lock();
        known.iter().map(|(name, destination)| (name.clone(), Arc::clone(destination))).collect()
    }
}

impl Standings {
    /// What an action's deliveries find: the destination that decides or, where that takes what comes, its address. None when both do.
    pub(super) fn of<'s>(
        &'s self,
        destination: &'s str,
        addressed: Addressed<'s>,
    ) -> Option<(&'s str, Standing)> {
        let at = self.destinations.get(destination).map(|standing| (destination, *standing));
        let address = match addressed {
            Addressed::Fixed(name) => self.addresses.get(name).map(|standing| (&**name, *standing)),
            Addressed::Server | Addressed::Made(_) => None,
        };
        match (at, address) {
            (Some(at), Some(address)) if address.1.takes_nothing() => {
                Some(if at.1.takes_nothing() { at } else { address })
            }
            (at, address) => at.or(address),
        }
    }

    /// Whether any of them takes a few.
    pub(super) fn has_narrow(&self) -> bool {
        let all = self.destinations.values().chain(self.addresses.values());
        all.into_iter().any(|standing| matches!(standing, Standing::Narrow(1..) | Standing::Tried(1..)))
    }
}

impl Standing {
    const fn takes_nothing(self) -> bool {
        matches!(self, Self::Full | Self::Held(_) | Self::Narrow(0) | Self::Tried(0))
    }
}

#[cfg(test)]
impl Destinations {
    pub(super) fn visit_alone(&self, name: &str) -> Visit {
        Visit::new(&self.get(name), None, Kind::Alone)
    }
}

/// A rate's window: so much of it may wait in this host's memory for its token.
const WINDOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
