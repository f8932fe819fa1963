//! Instances kept between calls, for actions that ask for it (`limits.reuse`).

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{calling::instance::Instance, engine::reserve::Reserve};

/// The idle instances of one action.
pub(crate) struct WarmInstances {
    /// Calls that one instance serves; 0 and 1 keep none.
    calls_each: u64,
    /// Idle instances over all actions.
    room: Arc<Semaphore>,
    idle: Mutex<Vec<(Used, OwnedSemaphorePermit)>>,
}

/// An instance and how often it was called.
pub(crate) struct Used {
    pub(crate) instance: Instance,
    calls: u64,
    /// Its shares of the reserve: after the instance, so that they are free only when it is gone.
    shares: Option<OwnedSemaphorePermit>,
}

impl WarmInstances {
    pub(crate) fn new(calls_each: u64, room: Arc<Semaphore>) -> Self {
        Self { calls_each, room, idle: Mutex::default() }
    }

    /// An idle instance, the one used last.
    pub(crate) fn take(&self) -> Option<Used> {
        if self.calls_each < 2 {
            return None;
        }
        self.idle.lock().pop().map(|(used, _)| used)
    }

    /// A fresh instance.
    #[expect(clippy::unused_self, reason = "only this type makes a `Used`")]
    pub(crate) fn adopt(&self, instance: Instance, shares: Option<OwnedSemaphorePermit>) -> Used {
        Used { instance, calls: 0, shares }
    }

    /// Keeps an instance that ended its call well, unless it served its time, there is no room, or others may need its shares
    /// of the reserve.
    pub(crate) fn give_back(&self, mut used: Used, reserve: &Reserve) {
        used.calls += 1;
        let is_in_the_way = used.shares.is_some() && !reserve.has_spare();
        if used.calls >= self.calls_each || is_in_the_way {
            return;
        }
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            self.idle.lock().push((used, place));
        }
    }
}
