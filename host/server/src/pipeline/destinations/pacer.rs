//! Keeps the rate of one destination: the one that the configuration names, or one that was learned from its refusals.

use std::sync::{
    Arc, Mutex as StdMutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use aftercommit_core::{Clock, LearnedRate, Rate, Timestamp, TokenBucket};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// The token bucket of one destination, and who waits for a token, in the order they came.
pub(in crate::pipeline) struct Pacer {
    configured: Option<Rate>,
    learned: StdMutex<LearnedRate>,
    /// Whether there is a rate: most destinations have none, and pay one look.
    is_paced: AtomicBool,
    /// How many hosts share the configured rate. Each learns what is left for itself.
    hosts: AtomicUsize,
    bucket: Mutex<TokenBucket>,
}

impl Pacer {
    /// An empty bucket; so many hosts share the configured rate. `concurrency` calls may run at once.
    pub(super) fn new(configured: Option<Rate>, hosts: usize, concurrency: usize, now: Timestamp) -> Self {
        // Before there is a rate, nobody takes from the bucket.
        let rate = configured.unwrap_or(Rate { per_sec: 1.0, burst: 1 });
        Self {
            configured,
            learned: StdMutex::new(LearnedRate::new(concurrency)),
            is_paced: AtomicBool::new(configured.is_some()),
            hosts: AtomicUsize::new(hosts.max(1)),
            bucket: Mutex::new(TokenBucket::empty(rate.shared_by(hosts), now)),
        }
    }

    /// So many hosts share the rate from now on.
    pub(super) fn share(&self, hosts: usize) {
        self.hosts.store(hosts.max(1), Relaxed);
    }

    /// What this host may send; none when there is no rate.
    pub(super) fn rate(&self) -> Option<Rate> {
        if !self.is_paced.load(Acquire) {
            return None;
        }
        let configured = self.configured.map(|rate| rate.shared_by(self.hosts.load(Relaxed)));
        let learned = self.learned().per_sec().map(|per_sec| Rate { per_sec, burst: 1 });
        match (configured, learned) {
            (Some(configured), Some(learned)) if learned.per_sec < configured.per_sec => Some(learned),
            (configured, learned) => configured.or(learned),
        }
    }

    /// Whether a rate was learned.
    pub(super) fn has_learned(&self) -> bool {
        self.is_paced.load(Acquire) && self.learned().per_sec().is_some()
    }

    /// What a call that begins now says of the rate, when it is refused.
    pub(super) fn epoch(&self) -> u64 {
        self.learned().epoch()
    }

    /// The destination took a call.
    pub(super) fn taken(&self) {
        if !self.is_paced.load(Acquire) {
            return;
        }
        let mut learned = self.learned();
        learned.taken();
        self.is_paced.store(self.configured.is_some() || learned.per_sec().is_some(), Release);
    }

    /// The destination refused a call of this epoch because of its rate. The new rate, if that changed it.
    pub(super) fn refused(&self, epoch: u64) -> Option<f64> {
        let mut learned = self.learned();
        let has_changed = learned.refused(epoch);
        self.is_paced.store(true, Release);
        learned.per_sec().filter(|_| has_changed)
    }

    /// Waits for a token, where there is a rate, and for one of `slots`. The token is taken last, so that what had to wait for a
    /// slot does not add to a later burst.
    pub(super) async fn pace<'s>(&self, slots: &'s Semaphore, clock: &Arc<dyn Clock>) -> SemaphorePermit<'s> {
        if !self.is_paced.load(Acquire) {
            return slot(slots).await;
        }
        let mut bucket = self.bucket.lock().await;
        loop {
            let Some(rate) = self.rate() else { return slot(slots).await };
            bucket.set_rate(rate);
            let wait = bucket.wait(clock.now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
                continue;
            }
            let slot = slot(slots).await;
            if bucket.take(clock.now()) {
                return slot;
            }
        }
    }

    /// Waits for a token, where there is a rate.
    pub(super) async fn token(&self, clock: &Arc<dyn Clock>) {
        if !self.is_paced.load(Acquire) {
            return;
        }
        let mut bucket = self.bucket.lock().await;
        while let Some(rate) = self.rate() {
            bucket.set_rate(rate);
            if bucket.take(clock.now()) {
                return;
            }
            tokio::time::sleep(bucket.wait(clock.now())).await;
        }
    }

    fn learned(&self) -> MutexGuard<'_, LearnedRate> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn slot(slots: &Semaphore) -> SemaphorePermit<'_> {
    #[expect(clippy::expect_used, reason = "nobody closes it")]
    slots.acquire().await.expect("the semaphore is never closed")
}
