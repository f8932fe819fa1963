//! Keeps the rate of one destination: the one that the configuration names, or one that was learned from its refusals.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use aftercommit_core::{Clock, LearnedRate, Rate, Timestamp, TokenBucket};
use parking_lot::{Mutex as SyncMutex, MutexGuard};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// The token bucket of one destination, and who waits for a token, in the order they came.
pub(in crate::pipeline) struct Pacer {
    configured: Option<Rate>,
    learned: SyncMutex<Learned>,
    /// Whether there is a rate: most destinations have none, and pay one look.
    is_paced: AtomicBool,
    /// How many hosts share the configured rate. Each learns what is left for itself.
    hosts: AtomicUsize,
    bucket: Mutex<TokenBucket>,
}

/// A rate is written down no more often than this, and only if it has changed by a tenth.
const WRITTEN: Duration = Duration::from_secs(10);

/// A learned rate, and what is written down of it.
struct Learned {
    rate: LearnedRate,
    /// When a call was refused first.
    since: Timestamp,
    written: Written,
}

/// What is written down: calls a minute, and when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    Rate(u32, Timestamp),
    /// Something, and not what should be.
    Unknown,
}

/// What is to be written down of a learned rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pipeline) enum RateNews {
    /// So many calls a minute, since then.
    Learned(u32, Timestamp),
    /// It is forgotten.
    Forgotten,
}

impl Pacer {
    /// An empty bucket; so many hosts share the configured rate. `concurrency` calls may run at once. `recalled` was learned before.
    pub(super) fn new(
        configured: Option<Rate>,
        recalled: Option<f64>,
        hosts: usize,
        concurrency: usize,
        now: Timestamp,
    ) -> Self {
        let learned = recalled.map_or_else(
            || LearnedRate::new(concurrency),
            |per_sec| LearnedRate::recalled(per_sec, concurrency),
        );
        // Before there is a rate, nobody takes from the bucket.
        let rate = configured.unwrap_or(Rate { per_sec: 1.0, burst: 1 });
        Self {
            configured,
            learned: SyncMutex::new(Learned { rate: learned, since: now, written: Written::Nothing }),
            is_paced: AtomicBool::new(configured.is_some() || recalled.is_some()),
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
        let learned = self.learned().rate.per_sec().map(|per_sec| Rate { per_sec, burst: 1 });
        match (configured, learned) {
            (Some(configured), Some(learned)) if learned.per_sec < configured.per_sec => Some(learned),
            (configured, learned) => configured.or(learned),
        }
    }

    /// Whether a rate was learned.
    pub(super) fn has_learned(&self) -> bool {
        self.is_paced.load(Acquire) && self.learned().rate.per_sec().is_some()
    }

    /// What a call that begins now says of the rate, when it is refused.
    pub(super) fn epoch(&self) -> u64 {
        self.learned().rate.epoch()
    }

    /// The destination took a call.
    pub(super) fn taken(&self) {
        if !self.is_paced.load(Acquire) {
            return;
        }
        let mut learned = self.learned();
        learned.rate.taken();
        self.is_paced.store(self.configured.is_some() || learned.rate.per_sec().is_some(), Release);
    }

    /// The destination refused a call of this epoch because of its rate. The new rate, if that changed it.
    pub(super) fn refused(&self, epoch: u64, now: Timestamp) -> Option<f64> {
        let mut learned = self.learned();
        if learned.rate.per_sec().is_none() {
            learned.since = now;
        }
        let has_changed = learned.rate.refused(epoch);
        self.is_paced.store(true, Release);
        learned.rate.per_sec().filter(|_| has_changed)
    }

    /// What is to be written down, once.
    pub(super) fn news(&self, now: Timestamp) -> Option<RateNews> {
        let mut learned = self.learned();
        let per_minute = learned.rate.per_sec().map(per_minute);
        let is_known = match (per_minute, learned.written) {
            (None, Written::Nothing) => true,
            (Some(rate), Written::Rate(written, at)) => {
                now.since(at) < WRITTEN || rate.abs_diff(written) < written.div_ceil(10)
            }
            _ => false,
        };
        if is_known {
            return None;
        }
        learned.written = per_minute.map_or(Written::Nothing, |rate| Written::Rate(rate, now));
        Some(per_minute.map_or(RateNews::Forgotten, |rate| RateNews::Learned(rate, learned.since)))
    }

    /// What was to be written down was not.
    pub(super) fn not_written(&self) {
        self.learned().written = Written::Unknown;
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

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is as good"
)]
fn per_minute(per_sec: f64) -> u32 {
    ((per_sec * 60.0).round() as u32).max(1)
}

async fn slot(slots: &Semaphore) -> SemaphorePermit<'_> {
    #[expect(clippy::expect_used, reason = "nobody closes it")]
    slots.acquire().await.expect("the semaphore is never closed")
}
