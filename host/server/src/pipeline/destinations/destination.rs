//! One destination, and the deliveries to it that this host owns.
//!
//! How many of the host's places it holds depends on how fast it is: its share, or what it ended within the last moments if
//! that is more, but never so much that nothing is left for others. So a fast destination works in whole batches, and one
//! that hangs costs its share. One that is being tried, or has a rate, holds no more than it is about to let through.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use aftercommit_core::{AttemptResult, Clock, DestinationEvidence, Rate, Timestamp};
use aftercommit_store::Lane;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::{
    Bounds, WINDOW,
    gate::{Call, Gate, Pass},
    pacer::Pacer,
};

/// A destination may hold what it ends in this time: it is then worked off in the same time.
pub(super) const PACE: Duration = Duration::from_millis(100);

/// One destination.
pub(in crate::pipeline) struct Destination {
    name: String,
    bounds: Bounds,
    gate: Gate,
    pacer: Pacer,
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

/// One delivery to a destination, owned by this host: running or waiting for its turn.
pub(in crate::pipeline) struct Visit {
    destination: Arc<Destination>,
    is_waiting: bool,
    /// It ends nothing: a place is held for another.
    is_held: bool,
}

/// A visit whose turn it is.
pub(in crate::pipeline) struct Turn<'v, 's> {
    destination: &'v Destination,
    pass: Pass,
    /// Of its rate.
    epoch: u64,
    #[expect(dead_code, reason = "held, not read")]
    slot: SemaphorePermit<'s>,
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
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner).at(now, self.ended.load(Relaxed));
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
    fn is_busy(&self, epoch: u64) {
        let was_paced = self.pacer.rate().is_some();
        let Some(per_sec) = self.pacer.refused(epoch) else { return };
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

    /// Enters one more delivery.
    pub(in crate::pipeline) fn enter(self: &Arc<Self>) -> Visit {
        self.owned.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        Visit { destination: Arc::clone(self), is_waiting: true, is_held: false }
    }

    /// Holds a place for a delivery that is to be entered when the one before it in its run has ended.
    pub(in crate::pipeline) fn hold(self: &Arc<Self>) -> Visit {
        let mut visit = self.enter();
        visit.is_held = true;
        visit
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

impl Visit {
    /// A batch of so many is full: more can not be held for this destination.
    pub(in crate::pipeline) fn most_in_batch(&self, max_items: u32) -> usize {
        (max_items as usize).min(self.destination.bounds.most)
    }

    /// Waits for its turn: at its destination, then for `admit`, then for one of `slots`, which all share. None when the
    /// destination is held back: then the delivery is to be handed back.
    pub(in crate::pipeline) async fn turn<'s, A>(
        &mut self,
        admit: impl Future<Output = A>,
        slots: &'s Semaphore,
    ) -> Option<(Turn<'_, 's>, A)> {
        let destination = &*self.destination;
        let pass = destination.gate.pass().await?;
        let admission = admit.await;
        let slot = destination.pacer.pace(slots, &destination.clock).await;
        if destination.gate.is_void(&pass) {
            return None;
        }
        self.is_waiting = false;
        destination.waiting.fetch_sub(1, Relaxed);
        Some((Turn { destination, pass, epoch: destination.pacer.epoch(), slot }, admission))
    }
}

impl Turn<'_, '_> {
    /// What came of the visit to this lane; `is_retry` when its delivery had failed before. Whether the destination is held back
    /// now because of it.
    pub(in crate::pipeline) fn report(&self, result: &AttemptResult, lane: &Lane, is_retry: bool) -> bool {
        let evidence = DestinationEvidence::of(result);
        let problem = result.as_ref().err().map(|failure| &failure.problem);
        let destination = self.destination;
        match evidence {
            DestinationEvidence::Up => destination.pacer.taken(),
            DestinationEvidence::Busy => destination.is_busy(self.epoch),
            DestinationEvidence::Untrusted | DestinationEvidence::Down { .. } | DestinationEvidence::None => {
            }
        }
        let call = Call { evidence, problem, lane, is_retry };
        let held = destination.gate.report(&self.pass, &call, destination.clock.now());
        if let (true, Some(problem)) = (held, problem) {
            tracing::warn!(
                destination = destination.name,
                code = problem.code,
                http_status = problem.status,
                "the destination is held back: {}",
                problem.message
            );
        }
        held
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let destination = &self.destination;
        if self.is_waiting {
            destination.waiting.fetch_sub(1, Relaxed);
        }
        destination.ended.fetch_add(usize::from(!self.is_held), Relaxed);
        let left = destination.owned.fetch_sub(1, SeqCst) - 1;
        // On the way down and while some are left to run: the next come many at a time, and in time. The bound moves, so
        // its half may be stepped over; the half of the share is not.
        let bound = destination.bound.load(Relaxed);
        if left == bound / 2 || left == destination.share() / 2 {
            destination.room.notify_one();
        }
        if left <= bound / 4 * 3 && destination.eased.is_waited_for.load(SeqCst) {
            destination.eased.told.notify_waiters();
        }
    }
}

#[cfg(test)]
impl Destination {
    pub(super) fn room_then(&self, now: Instant) -> usize {
        self.room_at(now)
    }
}
