//! How many deliveries this host may own at once, with events of how many bytes, and which it knows of.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use aftercommit_core::DeliveryId;
use aftercommit_store::ClaimedDelivery;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, RwLockWriteGuard, Semaphore};

use super::{
    event_memory::{Charge, EventMemory, SetAside},
    recovery::Suspect,
};

/// The places of this host, and the memory for events. Each delivery it owns holds a place, and what its event is charged,
/// until its end is durable.
///
/// Between the commit of a claim and its answer this host owns what it does not know of. So who claims holds
/// `claiming` for reading, from before the call to the store until what came has its places; who needs that nothing is
/// claimed holds it for writing.
#[derive(Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    memory: EventMemory,
    known: Arc<Known>,
    given_up: Arc<Mutex<HashSet<Attempt>>>,
    claiming: Arc<RwLock<()>>,
    waiting: Arc<Waiting>,
    capacity: usize,
}

/// Who waits for places or memory.
#[derive(Default)]
pub(super) struct Waiting {
    count: AtomicUsize,
    begun: Notify,
}

/// A delivery, and which attempt of it this host makes.
type Attempt = (DeliveryId, u32);

/// What holds a place. An attempt may hold two: a server that crashed can have lost its claim, and given it once more.
#[derive(Default)]
struct Known {
    places: Mutex<HashMap<Attempt, usize>>,
    /// How often other hosts took over what this one owned.
    term: AtomicU64,
}

/// A place for one delivery; free again when dropped, and its delivery is not known any more.
pub(super) struct Place {
    attempt: Option<Attempt>,
    known: Arc<Known>,
    term: u64,
    charge: Charge,
    suspect: Option<Suspect>,
    #[expect(dead_code, reason = "held, not read")]
    permit: OwnedSemaphorePermit,
}

/// Places and memory set aside for deliveries that are about to be owned, and the right to claim them.
pub(super) struct Reservation {
    permit: Option<OwnedSemaphorePermit>,
    memory: SetAside,
    known: Arc<Known>,
    term: u64,
    since: Instant,
    #[expect(dead_code, reason = "held, not read")]
    claiming: OwnedRwLockReadGuard<()>,
}

/// While this lives, the host claims nothing, and knows of all it has claimed.
pub(super) struct Still<'r> {
    room: &'r Room,
    #[expect(dead_code, reason = "held, not read")]
    claiming: RwLockWriteGuard<'r, ()>,
}

impl Room {
    pub(super) fn new(capacity: usize, memory: EventMemory) -> Self {
        Self {
            places: Arc::new(Semaphore::new(capacity)),
            memory,
            known: Arc::default(),
            given_up: Arc::default(),
            claiming: Arc::default(),
            waiting: Arc::default(),
            capacity,
        }
    }

    /// Sets aside up to `wanted` places, and memory for their events; waits while fewer than a quarter of them are free,
    /// so that a busy host works in batches and not row by row. Waits also while the room has to
    /// [stand still](Self::stand_still).
    pub(super) async fn reserve(&self, wanted: usize) -> Reservation {
        let wanted = wanted.clamp(1, self.capacity);
        // Always in this order: nobody holds memory and waits for places.
        let permit = acquire(&self.places, wanted, (wanted / 4).max(1), &self.waiting).await;
        let memory = self.memory.set_aside(&self.waiting).await;
        let claiming = Arc::clone(&self.claiming).read_owned().await;
        let (known, term, since) = (Arc::clone(&self.known), self.term(), Instant::now());
        Reservation { permit: Some(permit), memory, known, term, since, claiming }
    }

    /// Other hosts took over all that this one owned: what is claimed from now on belongs to another term.
    pub(super) fn lose_all(&self) {
        self.known.term.fetch_add(1, SeqCst);
    }

    /// Changes when other hosts took over.
    pub(super) fn term(&self) -> u64 {
        self.known.term.load(SeqCst)
    }

    /// What the events may take.
    pub(super) const fn memory(&self) -> &EventMemory {
        &self.memory
    }

    /// Waits for what is being claimed, and lets nothing be claimed until the answer is dropped.
    pub(super) async fn stand_still(&self) -> Still<'_> {
        Still { room: self, claiming: self.claiming.write().await }
    }

    /// Returns while somebody waits for places or memory: then none should be held longer than needed.
    pub(super) async fn is_waited_for(&self) {
        let begun = self.waiting.begun.notified();
        if self.waiting.count.load(SeqCst) == 0 {
            begun.await;
        }
    }

    /// This host made the attempt, and can not write its end.
    pub(super) fn give_up(&self, attempt: Attempt) {
        self.given_up().insert(attempt);
    }

    fn given_up(&self) -> MutexGuard<'_, HashSet<Attempt>> {
        self.given_up.lock()
    }

    /// How many deliveries are owned or about to be.
    pub(super) fn taken(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// Frees many places at once.
    pub(super) fn free(&self, mut places: Vec<Place>) {
        let mut known = self.known.lock();
        for attempt in places.iter_mut().filter_map(|place| place.attempt.take()) {
            forget(&mut known, attempt);
        }
    }
}

impl Waiting {
    fn enter(&self) -> Waits<'_> {
        self.count.fetch_add(1, SeqCst);
        self.begun.notify_waiters();
        Waits(self)
    }
}

/// Acquires up to `wanted` permits; waits while there are fewer than `least`.
pub(super) async fn acquire(
    semaphore: &Arc<Semaphore>,
    wanted: usize,
    least: usize,
    waiting: &Waiting,
) -> OwnedSemaphorePermit {
    let at_once = Arc::clone(semaphore).try_acquire_many_owned(count(least));
    let mut permit = if let Ok(permit) = at_once {
        permit
    } else {
        let _waits = waiting.enter();
        let permit = Arc::clone(semaphore).acquire_many_owned(count(least)).await;
        permit.expect("the semaphore is never closed")
    };
    let more = wanted.saturating_sub(least).min(semaphore.available_permits());
    if let Ok(further) = Arc::clone(semaphore).try_acquire_many_owned(count(more)) {
        permit.merge(further);
    }
    permit
}

/// Somebody waits for places or memory.
struct Waits<'w>(&'w Waiting);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
    }
}

impl Still<'_> {
    /// What holds a place.
    pub(super) fn known(&self) -> HashSet<Attempt> {
        self.room.known.lock().keys().copied().collect()
    }

    /// What was made and has no end in the store, nor a place.
    pub(super) fn given_up(&self) -> HashSet<Attempt> {
        self.room.given_up().clone()
    }

    /// The store does not ascribe these to this host any more.
    pub(super) fn settle(&self, given_up: &HashSet<Attempt>) {
        self.room.given_up().retain(|attempt| !given_up.contains(attempt));
    }
}

impl Reservation {
    pub(super) fn len(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// When it was made: what is owned in its places was claimed later.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// Bytes of text that the events of the deliveries may have.
    pub(super) fn text_bytes(&self) -> usize {
        self.memory.text_bytes()
    }

    /// A place for each of the deliveries, which are known from now on. More of them than places were set aside is a
    /// defect.
    pub(super) fn places(&mut self, deliveries: &[ClaimedDelivery]) -> Vec<Place> {
        let mut known = self.known.lock();
        deliveries
            .iter()
            .map(|delivery| {
                let permit = self.permit.as_mut().expect("a reservation has places");
                let last = permit.num_permits() == 1;
                let permit = if last { self.permit.take() } else { permit.split(1) };
                let permit = permit.expect("no more deliveries than places were asked for");
                let charge = self.memory.charge(delivery);
                let attempt = (delivery.id, delivery.attempt);
                *known.entry(attempt).or_default() += 1;
                Place {
                    attempt: Some(attempt),
                    known: Arc::clone(&self.known),
                    term: self.term,
                    charge,
                    suspect: None,
                    permit,
                }
            })
            .collect()
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashMap<Attempt, usize>> {
        self.places.lock()
    }
}

impl Place {
    /// Other hosts took over since its delivery was claimed.
    pub(super) fn is_lost(&self) -> bool {
        self.term != self.known.term.load(SeqCst)
    }

    /// Whether there is no memory for its event: the delivery has to be handed back.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self.charge, Charge::Refused)
    }

    /// Its delivery is a suspect.
    pub(super) fn follow(&mut self, suspect: Option<Suspect>) {
        self.suspect = suspect;
    }

    /// Its delivery did not start.
    pub(super) fn was_handed_back(&mut self) {
        if let Some(suspect) = &mut self.suspect {
            suspect.was_handed_back();
        }
    }

    /// Whether its event is large.
    pub(super) const fn is_large(&self) -> bool {
        matches!(self.charge, Charge::Large(_))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            forget(&mut self.known.lock(), attempt);
        }
    }
}

fn forget(known: &mut HashMap<Attempt, usize>, attempt: Attempt) {
    if let Some(places) = known.get_mut(&attempt) {
        *places -= 1;
        if *places == 0 {
            known.remove(&attempt);
        }
    }
}

fn count(places: usize) -> u32 {
    u32::try_from(places).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use aftercommit_core::Losses;
    use futures::poll;

    use super::*;
    use crate::sample;

    /// One with memory for whatever comes.
    fn room(capacity: usize) -> Room {
        Room::new(capacity, EventMemory::new(64 << 20, Arc::default()))
    }

    /// The first attempt of so many deliveries.
    fn deliveries(count: u64) -> Vec<ClaimedDelivery> {
        let event = sample::event();
        let delivery = |n: u64| ClaimedDelivery {
            id: DeliveryId::of(event.id, &n.to_string(), "hook"),
            event: Arc::clone(&event),
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            attempt: 1,
            attempts_before: 0,
            losses: Losses::default(),
            event_bytes: 0,
            ordering_key: None,
        };
        (0..count).map(delivery).collect()
    }

    #[tokio::test]
    async fn what_was_claimed_before_others_took_over_is_lost() {
        let room = room(8);
        let (mut early, mut claiming) = (room.reserve(2).await, room.reserve(2).await);
        let before = early.places(&deliveries(1));
        assert!(!before[0].is_lost());
        room.lose_all();
        let meanwhile = claiming.places(&deliveries(1));
        // What they set aside is all the memory there is.
        drop((early, claiming));
        let after = room.reserve(2).await.places(&deliveries(1));
        assert_eq!([&before[0], &meanwhile[0], &after[0]].map(Place::is_lost), [true, true, false]);
    }

    #[tokio::test]
    async fn places_come_back_when_dropped() {
        let room = room(8);
        let mut reservation = room.reserve(100).await;
        assert_eq!((reservation.len(), room.taken()), (8, 8));
        let places = reservation.places(&deliveries(1));
        drop(reservation);
        assert_eq!(room.taken(), 1);
        drop(places);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn every_place_can_be_used() {
        let room = room(2);
        let mut reservation = room.reserve(2).await;
        let places = reservation.places(&deliveries(2));
        assert_eq!(reservation.len(), 0);
        room.free(places);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn who_holds_places_is_told_that_others_wait_for_them() {
        let room = room(2);
        let first = room.reserve(2).await;
        let mut told = pin!(room.is_waited_for());
        assert!(poll!(&mut told).is_pending());
        {
            let mut second = pin!(room.reserve(1));
            assert!(poll!(&mut second).is_pending());
            assert!(poll!(&mut told).is_ready());
            assert!(poll!(pin!(room.is_waited_for())).is_ready(), "still");
            drop(first);
            second.await;
        }
        assert!(poll!(pin!(room.is_waited_for())).is_pending());
    }

    #[tokio::test]
    async fn what_holds_a_place_is_known() {
        let room = room(4);
        let deliveries = deliveries(3);
        let id = |n: usize| (deliveries[n].id, 1);
        let mut places = room.reserve(4).await.places(&deliveries);
        assert_eq!(room.stand_still().await.known(), HashSet::from([id(0), id(1), id(2)]));
        drop(places.remove(0));
        assert_eq!(room.stand_still().await.known(), HashSet::from([id(1), id(2)]));
        let again = room.reserve(1).await.places(&deliveries[1..2]);
        room.free(places);
        assert_eq!(room.stand_still().await.known(), HashSet::from([id(1)]), "it still holds a place");
        drop(again);
        assert!(room.stand_still().await.known().is_empty());
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn nothing_is_claimed_while_the_room_stands_still() {
        let room = room(4);
        let mut reservation = room.reserve(1).await;
        let mut still = pin!(room.stand_still());
        assert!(poll!(&mut still).is_pending(), "a claim is under way");
        let deliveries = deliveries(1);
        let _places = reservation.places(&deliveries);
        drop(reservation);
        let still = still.await;
        assert_eq!(still.known().len(), 1);
        let mut next = pin!(room.reserve(1));
        assert!(poll!(&mut next).is_pending());
        drop(still);
        next.await;
    }
}
