//! How much goes to one destination at once, so that a slow one does not slow the others.
//!
//! Two bounds. How many deliveries run at once to one destination is fixed. How many of the host's places it holds
//! depends on how fast it is: its share, or what it ended within the last moments if that is more, but never so much
//! that nothing is left for others. So a fast destination works in whole batches, and one that hangs costs its share.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::observers::Action;

/// A destination may hold what it ends in this time: it is then worked off in the same time.
const PACE: Duration = Duration::from_millis(100);

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

/// All destinations that were seen, by name.
pub(super) struct Destinations {
    bounds: Bounds,
    /// Told when a destination that was full has room again.
    room: Arc<Notify>,
    /// Who waits until there is less to do for the fast ones.
    eased: Arc<Eased>,
    known: Mutex<HashMap<String, Arc<Destination>>>,
}

/// One destination.
pub(super) struct Destination {
    slots: Arc<Semaphore>,
    owned: AtomicUsize,
    ended: AtomicUsize,
    pace: Mutex<Pace>,
    /// Places that it may hold however slow it is.
    share: AtomicUsize,
    /// How many of the host's places it may hold, when that was looked at last.
    bound: AtomicUsize,
    bounds: Bounds,
    room: Arc<Notify>,
    eased: Arc<Eased>,
}

/// Tells who waits, if anyone does, that a destination has room for many again.
#[derive(Default)]
struct Eased {
    is_waited_for: AtomicBool,
    told: Notify,
}

/// How many deliveries a destination ends in [`PACE`]: in the last such time that was looked at.
struct Pace {
    since: Instant,
    ended_then: usize,
    each: usize,
}

/// One delivery to a destination, owned by this host: running or waiting for its turn.
pub(super) struct Visit(Arc<Destination>);

impl Destinations {
    pub(super) fn new(bounds: Bounds, room: Arc<Notify>) -> Self {
        Self { bounds, room, eased: Arc::default(), known: Mutex::default() }
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
    fn get(&self, name: &str) -> Arc<Destination> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = known.get(name) {
            return Arc::clone(destination);
        }
        let destination = Arc::new(Destination {
            slots: Arc::new(Semaphore::new(self.bounds.concurrency)),
            owned: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            pace: Mutex::new(Pace { since: Instant::now(), ended_then: 0, each: 0 }),
            share: AtomicUsize::new(self.bounds.share),
            bound: AtomicUsize::new(self.bounds.share),
            bounds: self.bounds,
            room: Arc::clone(&self.room),
            eased: Arc::clone(&self.eased),
        });
        known.insert(name.to_owned(), Arc::clone(&destination));
        destination
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
        let room_of = |destination: &Arc<Destination>| {
            let room = destination.room();
            let bound = destination.bound.load(Relaxed);
            let is_fast = bound > destination.share.load(Relaxed);
            is_fast.then_some(if room < bound - bound / 4 * 3 { 0 } else { room })
        };
        known.values().filter_map(room_of).min().unwrap_or(usize::MAX)
    }

    /// The names of those that have no room.
    pub(super) fn full(&self) -> HashSet<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let full = known.iter().filter(|(_, destination)| destination.room() == 0);
        full.map(|(name, _)| name.clone()).collect()
    }
}

impl Destination {
    /// How many more of the host's places it may hold.
    pub(super) fn room(&self) -> usize {
        self.room_at(Instant::now())
    }

    fn room_at(&self, now: Instant) -> usize {
        let (share, most) = (self.share.load(Relaxed), self.bounds.most);
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner).at(now, self.ended.load(Relaxed));
        let bound = pace.min(most).max(share);
        self.bound.store(bound, Relaxed);
        bound.saturating_sub(self.owned.load(SeqCst))
    }

    /// A batch can become full while another runs, as long as that leaves enough to the other destinations.
    fn make_room_for(&self, max_items: u32) {
        self.share.fetch_max((2 * max_items as usize).min(self.bounds.most), Relaxed);
    }

    /// Enters one more delivery.
    pub(super) fn enter(self: &Arc<Self>) -> Visit {
        self.owned.fetch_add(1, Relaxed);
        Visit(Arc::clone(self))
    }
}

impl Pace {
    fn at(&mut self, now: Instant, ended: usize) -> usize {
        let span = now.saturating_duration_since(self.since);
        if span >= PACE {
            let ended_since = ended.wrapping_sub(self.ended_then) as u128;
            let each = ended_since * PACE.as_micros() / span.as_micros();
            *self = Self { since: now, ended_then: ended, each: usize::try_from(each).unwrap_or(usize::MAX) };
        }
        self.each
    }
}

impl Visit {
    /// A batch of so many is full: more can not be held for this destination.
    pub(super) fn most_in_batch(&self, max_items: u32) -> usize {
        (max_items as usize).min(self.0.bounds.most)
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0.slots).acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let destination = &self.0;
        destination.ended.fetch_add(1, Relaxed);
        let left = destination.owned.fetch_sub(1, SeqCst) - 1;
        // On the way down and while some are left to run: the next come many at a time, and in time. The bound moves, so
        // its half may be stepped over; the half of the share is not.
        let bound = destination.bound.load(Relaxed);
        if left == bound / 2 || left == destination.share.load(Relaxed) / 2 {
            destination.room.notify_one();
        }
        if left <= bound / 4 * 3 && destination.eased.is_waited_for.load(SeqCst) {
            destination.eased.told.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations() -> Destinations {
        Destinations::new(Bounds { concurrency: 2, share: 4, most: 12 }, Arc::default())
    }

    #[test]
    fn one_that_ends_nothing_holds_its_share() {
        let slow = destinations().get("slow");
        let visits: Vec<_> = (0..3).map(|_| slow.enter()).collect();
        assert_eq!(slow.room(), 1);
        assert_eq!(slow.room_at(Instant::now() + 10 * PACE), 1);
        drop(visits);
        assert_eq!(slow.room(), 4);
    }

    #[test]
    fn a_fast_one_holds_what_it_ends_but_never_all() {
        let fast = destinations().get("fast");
        let started = Instant::now();
        let end = |count| (0..count).for_each(|_| drop(fast.enter()));
        end(8);
        assert_eq!(fast.room_at(started + PACE + Duration::from_millis(1)), 7);
        end(100);
        assert_eq!(fast.room_at(started + 3 * PACE), 12);
        assert_eq!(fast.room_at(started + 6 * PACE), 4, "it has ended nothing for a while");
    }

    #[test]
    fn one_with_batches_holds_two_of_them_but_never_all() {
        let batched = destinations().get("batched");
        batched.make_room_for(3);
        batched.make_room_for(1);
        assert_eq!(batched.room(), 6);
        batched.make_room_for(100);
        assert_eq!(batched.room(), 12);
        assert_eq!(batched.enter().most_in_batch(100), 12);
        assert_eq!(batched.enter().most_in_batch(7), 7);
    }

    #[tokio::test]
    async fn a_fast_one_that_is_full_is_waited_for_until_it_has_room_for_many() {
        let destinations = destinations();
        let slow = destinations.get("slow");
        let _visits: Vec<_> = (0..4).map(|_| slow.enter()).collect();
        assert_eq!(destinations.ease().await, usize::MAX, "it is full, and not fast");
        let fast = destinations.get("fast");
        (0..100).for_each(|_| drop(fast.enter()));
        fast.room_at(Instant::now() + PACE);
        assert_eq!(destinations.ease().await, 12);
        let mut visits: Vec<_> = (0..10).map(|_| fast.enter()).collect();
        let ease = destinations.ease();
        tokio::pin!(ease);
        assert!(futures::poll!(&mut ease).is_pending());
        visits.truncate(9);
        assert_eq!(futures::poll!(&mut ease), std::task::Poll::Ready(3));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_before_the_last_has_ended() {
        let destinations = destinations();
        let destination = destinations.get("d");
        let mut visits: Vec<_> = (0..4).map(|_| destination.enter()).collect();
        let told = || tokio::time::timeout(Duration::from_millis(1), destinations.room.notified());
        visits.pop();
        assert!(told().await.is_err());
        visits.pop();
        assert!(told().await.is_ok());
    }
}
