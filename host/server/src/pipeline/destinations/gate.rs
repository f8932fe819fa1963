//! Lets deliveries through to one destination: its slots, and the circuit breaker that decides how many there are.
//!
//! A period is the time between two changes of the breaker that make what was under way before irrelevant. Each has slots of
//! its own: when the breaker opens, those of the period are closed, and whoever waits for one is turned away at once. So
//! what is let through at once is what the semaphore has, and a delivery pays for the breaker with one look.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use aftercommit_core::{Breaker, BreakerSettings, BreakerState, FailedCall, Problem, Timestamp};
use aftercommit_store::Lane;
use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// An end that is written down and so little later than the one that is known here is the same: it was converted from the
/// common time, which is known to some milliseconds. Else a breaker that is being tried would open again.
pub(in crate::pipeline) const SAME: Duration = Duration::from_secs(1);

/// The gate of one destination.
pub(in crate::pipeline) struct Gate {
    period: ArcSwap<Period>,
    /// The number of the present period.
    generation: AtomicU64,
    /// Whether the breaker has to hear of successes, and to be asked for its state.
    is_uneasy: AtomicBool,
    /// Calls succeeded of which the breaker did not hear.
    has_worked: AtomicBool,
    guard: Mutex<Guard>,
    changed: Arc<Notify>,
    room: Arc<Notify>,
}

struct Period {
    generation: u64,
    slots: Arc<Semaphore>,
}

struct Guard {
    breaker: Breaker,
    /// Slots that the present period was given.
    granted: usize,
    /// The lane of the call that failed last.
    failed_last: Option<Lane>,
    reason: Option<Reason>,
    /// What is known here is to be written down.
    is_unwritten: bool,
    /// It is written down that the destination is held back.
    is_written: bool,
}

/// A call that failed.
pub(super) struct Failed<'c> {
    pub(super) problem: &'c Problem,
    pub(super) lane: &'c Lane,
    pub(super) call: FailedCall,
}

/// Why and since when a destination is held back.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Reason {
    pub(in crate::pipeline) problem: Problem,
    /// It asked for it.
    pub(in crate::pipeline) is_asked: bool,
    pub(in crate::pipeline) since: Timestamp,
    pub(in crate::pipeline) until: Timestamp,
    pub(in crate::pipeline) openings: u32,
}

/// What is to be written down.
#[derive(Clone, Debug)]
pub(in crate::pipeline) enum Change {
    /// It is held back.
    Held(Reason),
    /// It works again.
    Works,
}

/// The right to call the destination once; its slot is free again when this is dropped.
pub(super) struct Pass {
    pub(super) generation: u64,
    #[expect(dead_code, reason = "held, not read")]
    slot: Option<OwnedSemaphorePermit>,
}

/// Why there is no pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoPass {
    /// It is held back until then.
    Held(Timestamp),
    /// Others try it.
    Tried,
}

impl Gate {
    pub(super) fn new(
        settings: BreakerSettings,
        concurrency: usize,
        changed: Arc<Notify>,
        room: Arc<Notify>,
    ) -> Self {
        let breaker = Breaker::new(settings, concurrency);
        let (generation, granted) = (breaker.generation(), breaker.limit());
        let guard = Guard {
            breaker,
            granted,
            failed_last: None,
            reason: None,
            is_unwritten: false,
            is_written: false,
        };
        let period = Period { generation, slots: Arc::new(Semaphore::new(granted)) };
        Self {
            period: ArcSwap::from_pointee(period),
            generation: AtomicU64::new(generation),
            is_uneasy: AtomicBool::new(false),
            has_worked: AtomicBool::new(false),
            guard: Mutex::new(guard),
            changed,
            room,
        }
    }

    /// Waits for a slot. None when the destination is held back.
    pub(super) async fn pass(&self) -> Option<Pass> {
        let period = self.period.load_full();
        let slot = Arc::clone(&period.slots).acquire_owned().await.ok()?;
        Some(Pass { generation: period.generation, slot: Some(slot) })
    }

    /// A pass at once, or none. While it is closed it bounds nothing: its callers have a slot elsewhere.
    pub(super) fn try_pass(&self, now: Timestamp) -> Result<Pass, NoPass> {
        if !self.is_uneasy.load(Acquire) {
            return Ok(Pass { generation: self.generation.load(Acquire), slot: None });
        }
        let mut guard = self.lock();
        guard.breaker.look(now);
        self.settle(&mut guard);
        let period = self.period.load_full();
        match guard.breaker.state() {
            BreakerState::Open => Err(NoPass::Held(guard.breaker.until())),
            BreakerState::Closed => Ok(Pass { generation: period.generation, slot: None }),
            BreakerState::HalfOpen | BreakerState::Recovering => {
                let slot = Arc::clone(&period.slots).try_acquire_owned().map_err(|_| NoPass::Tried)?;
                Ok(Pass { generation: period.generation, slot: Some(slot) })
            }
        }
    }

    /// Whether calls find out if it works again, so that each of them counts.
    pub(super) fn is_half_open(&self) -> bool {
        self.is_uneasy.load(Acquire) && self.lock().breaker.state() == BreakerState::HalfOpen
    }

    /// Whether nothing is lost when it is forgotten: it is well, or nothing went there for `span` since its time was over.
    pub(super) fn is_over(&self, now: Timestamp, span: Duration) -> bool {
        let guard = self.lock();
        !guard.is_unwritten
            && (guard.breaker.state() == BreakerState::Closed || guard.breaker.until().plus(span) < now)
    }

    /// Whether the pass was given before the destination was held back.
    pub(super) fn is_void(&self, pass: &Pass) -> bool {
        pass.generation != self.generation.load(Acquire)
    }

    /// How many may be let through in all while it is not just open to everybody, how many of them are, and until when it
    /// is held back.
    pub(super) fn narrowed(&self, now: Timestamp) -> Option<(usize, usize, Option<Timestamp>)> {
        if !self.is_uneasy.load(Acquire) {
            return None;
        }
        let mut guard = self.lock();
        guard.breaker.look(now);
        self.settle(&mut guard);
        let limit = guard.breaker.limit();
        match guard.breaker.state() {
            BreakerState::Closed => None,
            BreakerState::Open => Some((0, 0, Some(guard.breaker.until()))),
            BreakerState::HalfOpen | BreakerState::Recovering => {
                let free = self.period.load().slots.available_permits();
                Some((limit, guard.granted.saturating_sub(free), None))
            }
        }
    }

    /// A call of this generation failed. Whether this held the destination back.
    pub(super) fn failed(&self, generation: u64, failed: &Failed<'_>, now: Timestamp) -> bool {
        let mut guard = self.lock();
        if self.has_worked.swap(false, Relaxed) {
            guard.breaker.worked();
        }
        if guard.failed_last.as_ref() != Some(failed.lane) {
            guard.failed_last = Some(failed.lane.clone());
        }
        let opened = guard.breaker.failed(generation, now, failed.call);
        if opened {
            guard.reason = Some(Reason {
                problem: failed.problem.clone(),
                is_asked: failed.call.retry_after.is_some_and(|asked| !asked.is_zero()),
                since: now,
                until: guard.breaker.until(),
                openings: guard.breaker.openings(),
            });
            guard.is_unwritten = true;
            self.changed.notify_one();
        }
        self.settle(&mut guard);
        opened
    }

    /// The lane of the call that failed last.
    pub(super) fn failed_last(&self) -> Option<Lane> {
        self.lock().failed_last.clone()
    }

    /// A call of this generation reached the destination, and was not turned away for the destination's sake.
    pub(super) fn succeeded(&self, generation: u64) {
        if !self.is_uneasy.load(Acquire) {
            if !self.has_worked.load(Relaxed) {
                self.has_worked.store(true, Relaxed);
            }
            return;
        }
        let mut guard = self.lock();
        let before = guard.breaker.state();
        guard.breaker.succeeded(generation);
        if before != BreakerState::Closed && guard.breaker.state() == BreakerState::Closed {
            guard.is_unwritten = true;
            guard.reason = None;
            self.changed.notify_one();
        }
        self.settle(&mut guard);
    }

    /// What is to be written down, once.
    pub(super) fn change(&self) -> Option<Change> {
        let mut guard = self.lock();
        if !std::mem::take(&mut guard.is_unwritten) {
            return None;
        }
        guard.is_written = guard.breaker.state() != BreakerState::Closed;
        match &guard.reason {
            Some(reason) if guard.is_written => Some(Change::Held(reason.clone())),
            _ => Some(Change::Works),
        }
    }

    /// What was to be written down was not.
    pub(super) fn not_written(&self) {
        self.lock().is_unwritten = true;
    }

    /// Follows what is written down: until when the destination is held back and how often it was, or that it is not.
    pub(super) fn follow(&self, name: &str, written: Option<(Timestamp, u32)>) {
        let mut guard = self.lock();
        // What this host found out goes first.
        if guard.is_unwritten {
            return;
        }
        match written {
            Some((until, openings)) => {
                guard.is_written = true;
                if until > guard.breaker.until().plus(SAME) && guard.breaker.open_until(until, openings) {
                    tracing::warn!(destination = name, "the destination is held back, as it is written down");
                }
            }
            None if std::mem::take(&mut guard.is_written)
                && guard.breaker.state() != BreakerState::Closed =>
            {
                tracing::warn!(destination = name, "the destination is resumed");
                guard.breaker.resume();
            }
            None => {}
        }
        self.settle(&mut guard);
    }

    /// Gives slots as the breaker says.
    fn settle(&self, guard: &mut Guard) {
        let (limit, generation) = (guard.breaker.limit(), guard.breaker.generation());
        let period = self.period.load();
        if period.generation == generation {
            let more = limit.saturating_sub(guard.granted);
            if more > 0 {
                period.slots.add_permits(more);
                guard.granted = limit;
                self.room.notify_one();
            }
        } else {
            let slots = Semaphore::new(limit);
            if limit == 0 {
                slots.close();
            }
            self.generation.store(generation, Release);
            self.period.store(Arc::new(Period { generation, slots: Arc::new(slots) }));
            guard.granted = limit;
            // After the next period is there: who is turned away finds it.
            period.slots.close();
            self.room.notify_one();
        }
        self.is_uneasy.store(!guard.breaker.is_calm(), Release);
    }

    fn lock(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock()
    }
}
