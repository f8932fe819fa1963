//! How much memory the events that this host owns may take.
//!
//! The budget is `[dispatch] memory_mb`. Each delivery is charged for its event when it is owned, and what it was charged
//! comes back with its [`Place`](super::room::Place), when its end is durable. What an event will take is known only when
//! it was read, so bytes are set aside before the call to the store, which returns no more than fits into them.
//!
//! *Large* is an event that is charged more than a quarter of the budget: the store returns it also when it does not fit,
//! or it would never be delivered. Of these, one is owned at a time, beside the budget. So nothing waits for its memory
//! while it holds some, and small events never wait for large ones. What the store returns beyond that one is
//! handed back, and claims pass over its lane until the one has ended:
//!
//! ```text
//!            none under way                    its place is free
//! large event ------------> owned, under way ------------------> none under way
//!     |                     claims pass over its lane
//!     | one is under way
//!     +------------------> handed back, claims pass over its lane until none is under way
//! ```
//!
//! While an event is read, its text exists several times, too. Since the store may return a large one whenever it is called, intake
//! and claimer call it in turn while such events come; else side by side.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use aftercommit_core::EntityEvent;
use aftercommit_store::{ClaimedDelivery, Lane};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::room::{Waiting, acquire};

/// How often an event's text is in memory while its action runs. Measured with a signed webhook of 20 MB: 8 times, as the
/// values read from it, as JSON for the guest, in the guest's memory (as it came, and as a body while that grows), as the
/// body that the host signs and sends. With a template of the body it is 6 times. A row of many tiny numbers takes more.
const COPIES: usize = 8;

/// So many calls to the store after the last large event, the next is not expected to return another.
const CAREFUL_CALLS: usize = 100;

/// The budget is counted in these: 32 bits of them are more than any machine has.
const UNIT_BYTES: usize = 1024;

/// The memory of this host for events.
#[derive(Clone)]
pub(super) struct EventMemory {
    units: Arc<Semaphore>,
    budget: usize,
    large: Arc<Large>,
}

/// The large event that is owned, if there is one.
struct Large {
    state: Mutex<LargeState>,
    /// How many more calls to the store are made in turn.
    careful_calls: AtomicUsize,
    call: Arc<Semaphore>,
    /// Told when it has ended.
    claimer: Arc<Notify>,
}

#[derive(Default)]
struct LargeState {
    is_under_way: bool,
    /// Lanes in which a large event was met.
    passed_over: HashSet<Lane>,
}

/// Memory set aside for events that are about to be owned.
pub(super) struct SetAside {
    permit: OwnedSemaphorePermit,
    budget: usize,
    large: Arc<Large>,
    #[expect(dead_code, reason = "held, not read")]
    call: Option<OwnedSemaphorePermit>,
}

/// What a delivery holds of the memory.
pub(super) enum Charge {
    /// So much of the budget.
    Units(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit),
    /// It is the one large event that is under way.
    Large(#[expect(dead_code, reason = "held, not read")] LargeTurn),
    /// Nothing: another large event is under way, and this one has to be handed back.
    Refused,
}

/// While this lives, no other large event is owned.
pub(super) struct LargeTurn(Arc<Large>);

impl EventMemory {
    /// A budget of so many bytes. `claimer` is told when a large event has ended.
    pub(super) fn new(bytes: usize, claimer: Arc<Notify>) -> Self {
        let budget = (bytes / UNIT_BYTES).clamp(1, u32::MAX as usize);
        let (state, careful_calls) = (Mutex::default(), AtomicUsize::new(0));
        let large = Large { state, careful_calls, call: Arc::new(Semaphore::new(1)), claimer };
        Self { units: Arc::new(Semaphore::new(budget)), budget, large: Arc::new(large) }
    }

    /// Sets aside up to half of the budget, that intake and claimer can work side by side; waits while less than a
    /// quarter is free. So an event that is not large always fits. Waits also for its turn to call the store, where calls
    /// are made in turn.
    pub(super) async fn set_aside(&self, waiting: &Waiting) -> SetAside {
        let (wanted, least) = ((self.budget / 2).max(1), large_above(self.budget));
        let permit = acquire(&self.units, wanted, least, waiting).await;
        let call = self.large.call().await;
        SetAside { permit, budget: self.budget, large: Arc::clone(&self.large), call }
    }

    /// Lanes that claims pass over: large events wait in them, and one is under way.
    pub(super) fn passed_over(&self) -> HashSet<Lane> {
        self.large.lock().passed_over.clone()
    }

    /// Whether an event that is not owned yet should not be: it is large, and another large one is under way.
    pub(super) fn holds_back(&self, event: &EntityEvent) -> bool {
        let holds_back =
            self.large.lock().is_under_way && units(text_bytes(event)) > large_above(self.budget);
        if holds_back {
            self.large.met();
        }
        holds_back
    }

    /// How many bytes are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        (self.budget - self.units.available_permits()) * UNIT_BYTES
    }
}

impl SetAside {
    /// How many bytes of text the events may have.
    pub(super) fn text_bytes(&self) -> usize {
        self.permit.num_permits() * UNIT_BYTES / COPIES
    }

    /// Charges a delivery for its event.
    pub(super) fn charge(&mut self, delivery: &ClaimedDelivery) -> Charge {
        let units = units(delivery.event_bytes);
        if units > large_above(self.budget) {
            let lane =
                Lane { observer: Arc::clone(&delivery.observer), action: Arc::clone(&delivery.action) };
            return Large::begin(&self.large, lane).map_or(Charge::Refused, Charge::Large);
        }
        // Each is rounded up, so all together may be more than was set aside, by less than a unit each.
        let units = units.min(self.permit.num_permits());
        self.permit.split(units).map_or(Charge::Refused, Charge::Units)
    }
}

impl Large {
    fn lock(&self) -> MutexGuard<'_, LargeState> {
        self.state.lock()
    }

    /// A large event came.
    fn met(&self) {
        self.careful_calls.store(CAREFUL_CALLS, Relaxed);
    }

    /// A turn to call the store; none where calls are made side by side.
    async fn call(&self) -> Option<OwnedSemaphorePermit> {
        let less = |calls: usize| calls.checked_sub(1);
        self.careful_calls.fetch_update(Relaxed, Relaxed, less).ok()?;
        Some(Arc::clone(&self.call).acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// From now on claims pass over the lane. None if a large event is under way.
    fn begin(large: &Arc<Self>, lane: Lane) -> Option<LargeTurn> {
        large.met();
        let mut state = large.lock();
        state.passed_over.insert(lane);
        if state.is_under_way {
            return None;
        }
        state.is_under_way = true;
        Some(LargeTurn(Arc::clone(large)))
    }
}

impl Drop for LargeTurn {
    fn drop(&mut self) {
        *self.0.lock() = LargeState::default();
        self.0.claimer.notify_one();
    }
}

/// What an event is charged whose images have so many bytes of text.
const fn units(event_bytes: usize) -> usize {
    event_bytes.saturating_mul(COPIES).div_ceil(UNIT_BYTES)
}

/// An event that is charged more than this is large.
fn large_above(budget: usize) -> usize {
    (budget / 4).max(1)
}

/// About how many bytes of text the event's images have.
fn text_bytes(event: &EntityEvent) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(number) => number.as_str().len() + 1,
            Value::String(text) => text.len() + 3,
            Value::Array(items) => items.iter().map(of).sum::<usize>() + 2,
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| key.len() + 4 + of(value)).sum::<usize>() + 2
            }
        }
    }
    of(&event.data) + event.old.as_ref().map_or(0, of)
}

#[cfg(test)]
mod tests;
