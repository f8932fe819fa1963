//! Threads for those who need little. A guest that has used more than a few milliseconds of processor time in one call takes
//! its turns in a lane that leaves one thread free, so that guests that compute, honest or not, do not make others wait.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of all calls that compute, over all actions.
#[derive(Clone, Debug)]
pub(crate) struct Lanes(Arc<Semaphore>);

impl Lanes {
    /// From that much on a call counts as one that computes. Built-in plugins need less than half a millisecond.
    pub(crate) const FREE: Duration = Duration::from_millis(2);

    /// One place less than this machine has processors, but at least one.
    pub(crate) fn of_this_machine() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new(processors.saturating_sub(1))
    }

    /// So many places, but at least one.
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places.max(1))))
    }

    /// Waits for a place, which is free again when dropped. Who came first has the first.
    pub(crate) async fn place(self) -> OwnedSemaphorePermit {
        self.0.acquire_owned().await.expect("the semaphore is never closed")
    }
}
