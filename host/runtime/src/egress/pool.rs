//! Connections kept for the next call. A connection belongs to one call at a time, and only a call that came to its end
//! gives it back: one that fails, or is dropped in the middle, closes it. So no reply is ever read by another call.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// An unused connection is closed after that. Servers close theirs after minutes (RFC 5321, 4.5.3.2.7: five).
const IDLE: Duration = Duration::from_mins(1);

/// Connections to one server.
#[derive(Debug)]
pub(super) struct Pool<C> {
    places: Semaphore,
    idle: Mutex<Idle<C>>,
}

/// Connections on which nothing is under way, and since when.
#[derive(Debug)]
struct Idle<C> {
    kept: Vec<(C, Instant)>,
    /// Counts the [renewals](Pool::renew).
    generation: u64,
}

/// The right to one connection; free again when dropped.
pub(super) struct Place<'p, C> {
    pool: &'p Pool<C>,
    generation: u64,
    #[expect(dead_code, reason = "held, not read")]
    permit: SemaphorePermit<'p>,
}

impl<C> Pool<C> {
    /// A pool of at most so many connections.
    pub(super) fn new(max_connections: u32) -> Self {
        let idle = Mutex::new(Idle { kept: Vec::new(), generation: 0 });
        Self { places: Semaphore::new(max_connections.max(1) as usize), idle }
    }

    /// Waits until there is room for another connection.
    pub(super) async fn place(&self) -> Place<'_, C> {
        let permit = self.places.acquire().await.expect("the semaphore is never closed");
        Place { pool: self, generation: self.with_idle(|idle| idle.generation), permit }
    }

    /// Closes the connections that are kept, and those that are in use when their call has ended.
    pub(super) fn renew(&self) {
        self.with_idle(|idle| {
            idle.kept.clear();
            idle.generation += 1;
        });
    }

    fn with_idle<T>(&self, look: impl FnOnce(&mut Idle<C>) -> T) -> T {
        let mut idle = self.idle.lock();
        idle.kept.retain(|(_, since)| since.elapsed() < IDLE);
        look(&mut idle)
    }
}

impl<C> Place<'_, C> {
    /// The connection that was used last, if one is kept. It may have been closed by the server meanwhile.
    pub(super) fn kept(&self) -> Option<C> {
        self.pool.with_idle(|idle| idle.kept.pop()).map(|(connection, _)| connection)
    }

    /// Closes the connections that are kept.
    pub(super) fn forget(&self) {
        self.pool.with_idle(|idle| idle.kept.clear());
    }

    /// Keeps a connection on which nothing is under way, unless the pool was renewed since this place was given.
    pub(super) fn keep(self, connection: C) {
        self.pool.with_idle(|idle| {
            if idle.generation == self.generation {
                idle.kept.push((connection, Instant::now()));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_and_only_what_was_given_back_is_kept() {
        let pool = Pool::new(1);
        let place = pool.place().await;
        assert_eq!(place.kept(), None::<u8>);
        place.keep(7);
        let place = pool.place().await;
        assert_eq!(place.kept(), Some(7));
        // A second one would be one too many.
        assert!(pool.places.try_acquire().is_err());
        drop(place);
        assert_eq!(pool.place().await.kept(), None, "what was taken and not given back is gone");
    }

    #[tokio::test]
    async fn what_is_of_before_a_renewal_is_not_used_after_it() {
        let pool = Pool::new(2);
        pool.place().await.keep(1);
        let in_use = pool.place().await;
        assert_eq!(in_use.kept(), Some(1));
        pool.place().await.keep(2);
        pool.renew();
        in_use.keep(1);
        let place = pool.place().await;
        assert_eq!(place.kept(), None);
        place.keep(3);
        assert_eq!(pool.place().await.kept(), Some(3));
    }
}
