//! How many deliveries this host may own at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of this host. Each delivery it owns holds one until its end is durable.
#[derive(Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    capacity: usize,
}

/// A place for one delivery; free again when dropped.
pub(super) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Places set aside for deliveries that are about to be owned.
pub(super) struct Reservation(Option<OwnedSemaphorePermit>);

impl Room {
    pub(super) fn new(capacity: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(capacity)), capacity }
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
        Reservation(Some(permit))
    }

    /// How many deliveries are owned or about to be.
    pub(super) fn taken(&self) -> usize {
        self.capacity - self.places.available_permits()
    }
}

impl Reservation {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// One of the places. Asking for more than were set aside is a defect.
    pub(super) fn place(&mut self) -> Place {
        let permit = self.0.as_mut().expect("a reservation has places");
        let last = permit.num_permits() == 1;
        let one = if last { self.0.take() } else { permit.split(1) };
        Place(one.expect("no more deliveries than places were asked for"))
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
        let place = reservation.place();
        drop(reservation);
        assert_eq!(room.taken(), 1);
        drop(place);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn every_place_can_be_used() {
        let room = Room::new(2);
        let mut reservation = room.reserve(2).await;
        let places = [reservation.place(), reservation.place()];
        assert_eq!(reservation.len(), 0);
        drop(places);
        assert_eq!(room.taken(), 0);
    }
}
