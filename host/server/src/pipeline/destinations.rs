//! How much goes to one destination at once, so that a slow one does not slow the others.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All destinations that were seen, by name.
pub(super) struct Destinations {
    /// How many deliveries run at once to one of them.
    concurrency: usize,
    /// How many of the host's places one of them may hold.
    share: usize,
    known: Mutex<HashMap<String, Arc<Destination>>>,
}

/// One destination.
pub(super) struct Destination {
    slots: Arc<Semaphore>,
    owned: AtomicUsize,
    share: usize,
}

/// One delivery to a destination, owned by this host: running or waiting for its turn.
pub(super) struct Visit(Arc<Destination>);

impl Destinations {
    pub(super) fn new(concurrency: usize, share: usize) -> Self {
        Self { concurrency, share, known: Mutex::default() }
    }

    /// The destination of this name.
    pub(super) fn get(&self, name: &str) -> Arc<Destination> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = known.get(name) {
            return Arc::clone(destination);
        }
        let destination = Arc::new(Destination {
            slots: Arc::new(Semaphore::new(self.concurrency)),
            owned: AtomicUsize::new(0),
            share: self.share,
        });
        known.insert(name.to_owned(), Arc::clone(&destination));
        destination
    }
}

impl Destination {
    /// How many more of the host's places it may hold.
    pub(super) fn room(&self) -> usize {
        self.share.saturating_sub(self.owned.load(Relaxed))
    }

    /// Enters one more delivery.
    pub(super) fn enter(self: &Arc<Self>) -> Visit {
        self.owned.fetch_add(1, Relaxed);
        Visit(Arc::clone(self))
    }
}

impl Visit {
    /// Waits for its turn.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0.slots).acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.owned.fetch_sub(1, Relaxed);
    }
}
