//! The bound of idle HTTP connections over all destinations: those of the destination that was used least recently give way.
//!
//! Each destination has an HTTP client of its own, which alone sees its idle connections. A destination is charged for as many as
//! it may have left: those of the most requests that it had at once, and as many again less one, because a request that
//! gets another's connection leaves behind the one that it began to open. To close them the client is dropped; requests
//! that are under way end as they would have.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use super::connector::HttpClient;
use crate::capability::Origin;

/// How many are kept where nobody says how many.
pub(crate) const DEFAULT_IDLE: usize = 1024;

/// An unused connection is closed after that.
pub(super) const IDLE: Duration = Duration::from_mins(1);

/// One destination leaves so much of the whole to the others.
const PART_OF_ALL: usize = 4;

/// The HTTP clients of all destinations, by who may use them (see [`Client`](super::Client)) and by origin.
#[derive(Debug)]
pub(super) struct IdleConnections {
    most: usize,
    clients: Mutex<HashMap<u64, HashMap<Origin, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    destination: Arc<Destination>,
    used: Instant,
}

/// The client of one destination.
#[derive(Debug)]
struct Destination {
    http: HttpClient,
    busy: AtomicUsize,
    most_busy: AtomicUsize,
    is_multiplexed: AtomicBool,
}

/// A request of a destination, until its response was read.
#[derive(Debug)]
pub(super) struct Use(Arc<Destination>);

impl IdleConnections {
    /// At most so many in all, but one for the last destination whatever the bound.
    pub(super) fn new(most: usize) -> Self {
        Self { most, clients: Mutex::default() }
    }

    /// How many one destination may keep.
    pub(super) fn most_each(&self) -> usize {
        (self.most / PART_OF_ALL).max(1)
    }

    /// The client of a destination, built if there is none, for one request.
    pub(super) fn enter(
        &self,
        owner: u64,
        origin: &Origin,
        build: impl FnOnce(usize) -> Result<HttpClient, String>,
    ) -> Result<Use, String> {
        if let Some(used) = self.used(owner, origin) {
            return Ok(used);
        }
        // Not while others wait. If somebody else has built one meanwhile, that one is used.
        let fresh = Arc::new(Destination::new(build(self.most_each())?));
        let mut clients = self.lock();
        let now = Instant::now();
        let kept = clients.entry(owner).or_default().entry(origin.clone());
        let kept = kept.or_insert(Kept { destination: fresh, used: now });
        kept.used = now;
        let (used, _) = Use::of(&kept.destination);
        let closed = self.give_way_to(&mut clients, owner, origin);
        drop(clients);
        drop(closed);
        Ok(used)
    }

    fn used(&self, owner: u64, origin: &Origin) -> Option<Use> {
        let mut clients = self.lock();
        let kept = clients.get_mut(&owner)?.get_mut(origin)?;
        kept.used = Instant::now();
        let (used, has_grown) = Use::of(&kept.destination);
        let closed = has_grown.then(|| self.give_way_to(&mut clients, owner, origin));
        drop(clients);
        drop(closed);
        Some(used)
    }

    /// Takes out the destinations that were used least recently, until what is left keeps the bound.
    fn give_way_to(
        &self,
        clients: &mut HashMap<u64, HashMap<Origin, Kept>>,
        owner: u64,
        origin: &Origin,
    ) -> Vec<Kept> {
        let charge = |kept: &Kept| kept.destination.charge(self.most_each());
        let mut charged: usize = clients.values().flat_map(HashMap::values).map(charge).sum();
        if charged <= self.most {
            return Vec::new();
        }
        let mut others: Vec<(Instant, usize, u64, Origin)> = Vec::new();
        for (&other, kept) in &*clients {
            for (at, kept) in kept {
                if (other, at) != (owner, origin) {
                    others.push((kept.used, charge(kept), other, at.clone()));
                }
            }
        }
        others.sort_unstable_by_key(|(used, ..)| *used);
        let mut closed = Vec::new();
        for (used, charge, other, at) in others {
            // Connections that were unused for so long are closed already.
            if charged <= self.most && used.elapsed() < IDLE {
                break;
            }
            charged -= charge;
            closed.extend(clients.get_mut(&other).and_then(|kept| kept.remove(&at)));
        }
        closed
    }

    /// Closes all idle connections: the process may open no more files.
    pub(super) fn give_way(&self) {
        let closed = std::mem::take(&mut *self.lock());
        drop(closed);
    }

    /// Closes those of somebody who is gone.
    pub(super) fn forget(&self, owner: u64) {
        let closed = self.lock().remove(&owner);
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, HashMap<Origin, Kept>>> {
        self.clients.lock()
    }
}

impl Destination {
    fn new(http: HttpClient) -> Self {
        let (busy, most_busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { http, busy, most_busy, is_multiplexed: AtomicBool::new(false) }
    }

    fn charge(&self, most_each: usize) -> usize {
        if self.is_multiplexed.load(Relaxed) {
            return 1;
        }
        (self.most_busy.load(Relaxed) * 2).saturating_sub(1).min(most_each)
    }
}

impl Use {
    /// One more, and whether there were never so many at once.
    fn of(destination: &Arc<Destination>) -> (Self, bool) {
        let busy = destination.busy.fetch_add(1, Relaxed) + 1;
        let has_grown = destination.most_busy.fetch_max(busy, Relaxed) < busy;
        (Self(Arc::clone(destination)), has_grown)
    }

    pub(super) fn http(&self) -> &HttpClient {
        &self.0.http
    }

    /// The destination speaks HTTP/2: one connection is enough for all its requests.
    pub(super) fn set_multiplexed(&self) {
        self.0.is_multiplexed.store(true, Relaxed);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{capability::Effective, egress::Clients};

    fn build(most_idle: usize) -> Result<HttpClient, String> {
        Clients::new("test", &[]).unwrap().of(&Effective::default()).build(most_idle)
    }

    fn origin(name: &str) -> Origin {
        format!("http://{name}.example").parse().unwrap()
    }

    fn kept(idle: &IdleConnections) -> Vec<String> {
        let mut names: Vec<String> =
            idle.lock().values().flat_map(HashMap::keys).map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_destination_that_was_used_least_recently_gives_way() {
        let idle = IdleConnections::new(8);
        let enter = |name: &str| idle.enter(1, &origin(name), build).unwrap();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            enter(name);
        }
        assert_eq!(kept(&idle).len(), 8);
        enter("a");
        enter("i");
        assert!(!kept(&idle).contains(&"http://b.example".to_owned()), "{:?}", kept(&idle));
        assert!(kept(&idle).contains(&"http://a.example".to_owned()));
        // Two at once may leave three connections, of which one destination keeps two.
        let both = (enter("a"), enter("a"));
        assert_eq!(kept(&idle).len(), 7);
        drop(both);
        enter("c").set_multiplexed();
        let many: Vec<Use> = (0..100).map(|_| enter("c")).collect();
        assert_eq!(kept(&idle).len(), 7, "many requests on one connection");
        drop(many);
        idle.forget(1);
        assert!(kept(&idle).is_empty());
    }

    #[test]
    fn one_destination_is_served_whatever_the_bound() {
        let idle = IdleConnections::new(0);
        let first = idle.enter(1, &origin("a"), build).unwrap();
        let second = idle.enter(2, &origin("a"), build).unwrap();
        assert_eq!(kept(&idle).len(), 1);
        drop((first, second));
        idle.give_way();
        assert!(kept(&idle).is_empty());
    }
}
