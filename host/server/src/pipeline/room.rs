//! How many deliveries this host may own at once, and which it knows of.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aftercommit_core::DeliveryId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of this host. Each delivery it owns holds one until its end is durable.
#[derive(Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    capacity: usize,
    known: Arc<Known>,
}

/// The deliveries that have a place, each with its attempt.
#[derive(Default)]
struct Known(Mutex<HashSet<(DeliveryId, u32)>>);

/// A place for one delivery; free again when dropped.
pub(super) struct Place {
    delivery: (DeliveryId, u32),
    known: Arc<Known>,
    _permit: OwnedSemaphorePermit,
}

/// Places set aside for deliveries that are about to be owned.
pub(super) struct Reservation {
    permit: Option<OwnedSemaphorePermit>,
    known: Arc<Known>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashSet<(DeliveryId, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.known.lock().remove(&self.delivery);
    }
}

impl Room {
    pub(super) fn new(capacity: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(capacity)), capacity, known: Arc::default() }
    }

    /// Sets aside up to `wanted` places; waits while fewer than a quarter of them are free, so that a busy host works
    /// in batches and not row by row.
    pub(super) async fn reserve(&self, wanted: usize) -> Reservation {
        let wanted = wanted.clamp(1, self.capacity);
        let least = (wanted / 4).max(1);
        let permit = Arc::clone(&self.places).acquire_many_owned(count(least)).await;
        let mut permit = permit.expect("the semaphore is never closed");
        let more = (wanted - least).min(self.places.available_permits());
        if let Ok(further) = Arc::clone(&self.places).try_acquire_many_owned(count(more)) {
            permit.merge(further);
        }
        Reservation { permit: Some(permit), known: Arc::clone(&self.known) }
    }

    /// How many deliveries are owned or about to be.
    pub(super) fn taken(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// Whether an attempt of a delivery has a place.
    pub(super) fn holds(&self, id: DeliveryId, attempt: u32) -> bool {
        self.known.lock().contains(&(id, attempt))
    }
}

impl Reservation {
    pub(super) fn len(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// One of the places, for an attempt of a delivery. Asking for more than were set aside is a defect.
    pub(super) fn place(&mut self, id: DeliveryId, attempt: u32) -> Place {
        let permit = self.permit.as_mut().expect("a reservation has places");
        let last = permit.num_permits() == 1;
        let one = if last { self.permit.take() } else { permit.split(1) };
        let permit = one.expect("no more deliveries than places were asked for");
        let delivery = (id, attempt);
        self.known.lock().insert(delivery);
        Place { delivery, known: Arc::clone(&self.known), _permit: permit }
    }
}

fn count(places: usize) -> u32 {
    u32::try_from(places).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_come_back_when_dropped() {
        let room = Room::new(8);
        let mut reservation = room.reserve(100).await;
        assert_eq!((reservation.len(), room.taken()), (8, 8));
        let id = DeliveryId(uuid::Uuid::from_u128(1));
        let place = reservation.place(id, 2);
        drop(reservation);
        assert_eq!(room.taken(), 1);
        assert!(room.holds(id, 2) && !room.holds(id, 1));
        drop(place);
        assert_eq!(room.taken(), 0);
        assert!(!room.holds(id, 2));
    }

    #[tokio::test]
    async fn every_place_can_be_used() {
        let room = Room::new(2);
        let mut reservation = room.reserve(2).await;
        let places = [1, 2].map(|attempt| reservation.place(DeliveryId(uuid::Uuid::nil()), attempt));
        assert_eq!(reservation.len(), 0);
        drop(places);
        assert_eq!(room.taken(), 0);
    }
}
