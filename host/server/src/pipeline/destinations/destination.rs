//! One destination, and the deliveries to it that this host owns.
//!
//! How many of the host's places it holds depends on how fast it is: its share, or what it ended within the last moments if
//! that is more, but never so much that nothing is left for others. So a fast destination works in whole batches, and one
//! that hangs costs its share. One that is being tried, or has a rate, holds no more than it is about to let through.
//!
//! An address that several deliveries may go to at one destination is made of the same: its gate and its rate are its own, and
//! who goes there goes through both.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use aftercommit_core::{Clock, Problem, Rate, RefusedAddresses, RefusedShare, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{Bounds, FORGOTTEN, WINDOW, gate::Gate, pacer::Pacer};

/// A destination may hold what it ends in this time: it is then worked off in the same time.
pub(super) const PACE: Duration = Duration::from_millis(100);

/// One destination.
pub(in crate::pipeline) struct Destination {
    name: String,
    bounds: Bounds,
    gate: Gate,
    pacer: Pacer,
    /// Of an address: its last call failed.
    is_failing: AtomicBool,
    /// Whether any call was refused because of a rate: most destinations refuse none, and pay one look.
    is_refusing: AtomicBool,
    refusals: Mutex<Refusals>,
    clock: Arc<dyn Clock>,
    owned: AtomicUsize,
    /// Of those, the ones that wait for their turn.
    waiting: AtomicUsize,
    ended: AtomicUsize,
    /// As many deliveries as one call may carry.
    batch: AtomicUsize,
    pace: Mutex<Pace>,
    /// How many of the host's places it may hold, when that was looked at last.
    bound: AtomicUsize,
    room: Arc<Notify>,
    eased: Arc<Eased>,
}

/// Tells who waits, if anyone does, that a destination has room for many again.
#[derive(Default)]
pub(super) struct Eased {
    pub(super) is_waited_for: AtomicBool,
    pub(super) told: Notify,
}

/// What was refused because of a rate.
#[derive(Default)]
pub(super) struct Refusals {
    pub(super) share: RefusedShare,
    pub(super) addresses: RefusedAddresses,
}

/// How many deliveries a destination ends in [`PACE`]: in the last such time that was looked at.
struct Pace {
    since: Instant,
    ended_then: usize,
    each: usize,
}

/// What a destination takes now, if not just what comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pipeline) enum Standing {
    /// It holds its share of the host's places.
    Full,
    /// It has room for so many, and whoever brings it more has to take them back.
    Narrow(usize),
    /// The same, while it is tried whether it works again: with what was not tried before, first.
    Tried(usize),
    /// Nothing before this time.
    Held(Timestamp),
}

impl Destination {
    pub(super) fn new(
        name: &str,
        bounds: Bounds,
        gate: Gate,
        pacer: Pacer,
        clock: Arc<dyn Clock>,
        room: Arc<Notify>,
        eased: Arc<Eased>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            bounds,
            gate,
            pacer,
            is_failing: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
            refusals: Mutex::default(),
            clock,
            owned: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            batch: AtomicUsize::new(1),
            pace: Mutex::new(Pace { since: Instant::now(), ended_then: 0, each: 0 }),
            bound: AtomicUsize::new(bounds.share),
            room,
            eased,
        }
    }

    pub(super) const fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) const fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whether nothing is lost when it is forgotten: no delivery is on its way there, and it is well or was not tried for long.
    pub(super) fn is_idle(self: &Arc<Self>, now: Timestamp) -> bool {
        Arc::strong_count(self) == 1 && self.gate.is_over(now, FORGOTTEN)
    }

    /// A call of an address failed. Whether it is the first since one did not.
    pub(super) fn fails(&self) -> bool {
        !self.is_failing.swap(true, Relaxed)
    }

    /// A call was taken.
    pub(super) fn took(&self, generation: u64) {
        self.gate.succeeded(generation);
        self.pacer.taken();
        if self.is_failing.load(Relaxed) {
            self.is_failing.store(false, Relaxed);
        }
        if self.is_refusing.load(Relaxed) {
            self.refusals().share.add(false);
        }
    }

    /// What was refused, now that a call was.
    pub(super) fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.is_refusing.store(true, Relaxed);
        self.refusals.lock()
    }

    /// A call of this problem held it back.
    pub(super) fn tell_held(&self, problem: &Problem) {
        tracing::warn!(
            destination = self.name,
            code = problem.code.as_str(),
            http_status = problem.status,
            "the destination is held back: {}",
            problem.message
        );
    }

    /// How many more of the host's places it may hold.
    pub(in crate::pipeline) fn room(&self) -> usize {
        match self.standing() {
            None => self.bound.load(Relaxed).saturating_sub(self.owned.load(SeqCst)),
            Some(Standing::Narrow(room) | Standing::Tried(room)) => room,
            Some(Standing::Full | Standing::Held(_)) => 0,
        }
    }

    /// What it takes now; none when it just takes what comes.
    pub(super) fn standing(&self) -> Option<Standing> {
        let room = self.room_at(Instant::now());
        if let Some((limit, under_way, until)) = self.gate.narrowed(self.clock.now()) {
            self.bound.store(limit, Relaxed);
            let room = room.min(limit.saturating_sub(under_way + self.waiting.load(Relaxed)));
            return Some(until.map_or(Standing::Tried(room), Standing::Held));
        }
        if let Some(rate) = self.pacer.rate() {
            let window = window(rate).saturating_mul(self.batch.load(Relaxed));
            self.bound.fetch_min(window, Relaxed);
            return Some(Standing::Narrow(room.min(window.saturating_sub(self.owned.load(SeqCst)))));
        }
        (room == 0).then_some(Standing::Full)
    }

    /// The room of one that is fast: 0 when it has none for many.
    pub(super) fn room_if_fast(&self) -> Option<usize> {
        let room = self.room();
        let bound = self.bound.load(Relaxed);
        (bound > self.share()).then_some(if room < bound - bound / 4 * 3 { 0 } else { room })
    }

    fn room_at(&self, now: Instant) -> usize {
        let (share, most) = (self.share(), self.bounds.most);
        let pace = self.pace.lock().at(now, self.ended.load(Relaxed));
        let bound = pace.min(most).max(share);
        self.bound.store(bound, Relaxed);
        bound.saturating_sub(self.owned.load(SeqCst))
    }

    /// Places that it may hold however slow it is: a batch can become full while another runs, as long as that leaves
    /// enough to the other destinations.
    fn share(&self) -> usize {
        let Bounds { share, most, .. } = self.bounds;
        match self.batch.load(Relaxed) {
            1 => share,
            batch => share.max((2 * batch).min(most)),
        }
    }

    /// One call may carry so many deliveries.
    pub(super) fn make_room_for(&self, max_items: u32) {
        self.batch.fetch_max(max_items as usize, Relaxed);
    }

    /// It refused a call of this epoch because of its rate.
    pub(super) fn refuses_rate(&self, epoch: u64) {
        let was_paced = self.pacer.rate().is_some();
        let Some(per_sec) = self.pacer.refused(epoch, self.clock.now()) else { return };
        if was_paced {
            tracing::debug!(
                destination = self.name,
                per_sec,
                "the destination refuses the rate: it is sent less"
            );
        } else {
            tracing::warn!(
                destination = self.name,
                per_sec,
                "the destination has a rate of its own and refused calls without saying when to come again: its rate is learned"
            );
        }
    }

    /// One more delivery waits for its turn.
    pub(super) fn enter(&self) {
        self.owned.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
    }

    /// One of them waits no more.
    pub(super) fn begin(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// A delivery has ended.
    pub(super) fn leave(&self) {
        self.ended.fetch_add(1, Relaxed);
        self.give_back();
    }

    /// A place is free that was held or in use.
    pub(super) fn give_back(&self) {
        let left = self.owned.fetch_sub(1, SeqCst) - 1;
        // On the way down and while some are left to run: the next come many at a time, and in time. The bound moves, so
        // its half may be stepped over; the half of the share is not.
        let bound = self.bound.load(Relaxed);
        if left == bound / 2 || left == self.share() / 2 {
            self.room.notify_one();
        }
        if left <= bound / 4 * 3 && self.eased.is_waited_for.load(SeqCst) {
            self.eased.told.notify_waiters();
        }
    }
}

/// What comes in the time of a window, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is as good"
)]
fn window(rate: Rate) -> usize {
    ((rate.per_sec * WINDOW.as_secs_f64()).ceil() as usize).max(1)
}

impl Pace {
    fn at(&mut self, now: Instant, ended: usize) -> usize {
        let span = now.saturating_duration_since(self.since);
        if span >= PACE {
            let ended_since = ended.wrapping_sub(self.ended_then) as u128;
            let each = ended_since * PACE.as_micros() / span.as_micros();
            *self = Self { since: now, ended_then: ended, each: usize::try_from(each).unwrap_or(usize::MAX) };
        }
        self.each
    }
}

#[cfg(test)]
impl Destination {
    pub(super) fn room_then(&self, now: Instant) -> usize {
        self.room_at(now)
    }
}
