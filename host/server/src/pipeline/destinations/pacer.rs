//! Keeps the rate of one destination.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use aftercommit_core::{Clock, Rate, Timestamp, TokenBucket};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// The token bucket of one destination, and who waits for a token, in the order they came.
pub(in crate::pipeline) struct Pacer {
    rate: Rate,
    /// How many hosts share the rate.
    hosts: AtomicUsize,
    bucket: Mutex<TokenBucket>,
}

impl Pacer {
    /// An empty bucket; so many hosts share the rate.
    pub(super) fn new(rate: Rate, hosts: usize, now: Timestamp) -> Self {
        let bucket = Mutex::new(TokenBucket::empty(rate.shared_by(hosts), now));
        Self { rate, hosts: AtomicUsize::new(hosts.max(1)), bucket }
    }

    /// So many hosts share the rate from now on.
    pub(super) fn share(&self, hosts: usize) {
        self.hosts.store(hosts.max(1), Relaxed);
    }

    /// What this host may send.
    pub(super) fn rate(&self) -> Rate {
        self.rate.shared_by(self.hosts.load(Relaxed))
    }

    /// Waits for a token and for one of `slots`. The token is taken last, so that what had to wait for a slot does not add
    /// to a later burst.
    pub(super) async fn pace<'s>(&self, slots: &'s Semaphore, clock: &Arc<dyn Clock>) -> SemaphorePermit<'s> {
        let mut bucket = self.bucket.lock().await;
        loop {
            bucket.set_rate(self.rate());
            let wait = bucket.wait(clock.now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
                continue;
            }
            #[expect(clippy::expect_used, reason = "nobody closes it")]
            let slot = slots.acquire().await.expect("the semaphore is never closed");
            if bucket.take(clock.now()) {
                return slot;
            }
        }
    }
}
