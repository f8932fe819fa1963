//! One delivery on its way: to its destination, and where several addresses share that one, to its address there.
//!
//! Its end counts against the address first. It counts for the destination when nothing connects, and when addresses fail
//! that did not fail before: several of them, and most of the last calls.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use aftercommit_core::{AttemptResult, DestinationEvidence, FailedCall, Problem, Scope};
use aftercommit_store::Lane;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Destinations,
    destination::Destination,
    gate::{Failed, NoPass, Pass},
};

/// Where an address that a template made is tried by another delivery, this one comes again after so long.
const TRIED: Duration = Duration::from_millis(250);

/// Deliveries that wait for such an address come again within so long after it is let through, not all at once.
const SPREAD: Duration = Duration::from_secs(10);

/// A delivery owned by this host: running or waiting for its turn.
pub(in crate::pipeline) struct Visit {
    destination: Stay,
    /// Its address there, where that is known.
    address: Option<Stay>,
    kind: Kind,
}

/// How a delivery is addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Its address is the destination.
    Alone,
    /// All of its lane go to one address: claims pass over the lane while that is held back.
    Fixed,
    /// Others of its lane go elsewhere: it is handed back while its address is held back.
    Made,
}

/// A delivery's part in the counts of a destination or an address.
struct Stay {
    at: Arc<Destination>,
    is_waiting: bool,
}

/// A visit whose turn it is.
pub(in crate::pipeline) struct Turn<'v, 's> {
    visit: &'v Visit,
    /// At the destination, and at the address.
    pass: Pass,
    address_pass: Option<Pass>,
    /// Of their rates.
    epoch: u64,
    address_epoch: u64,
    #[expect(dead_code, reason = "held, not read")]
    slot: SemaphorePermit<'s>,
}

/// How a visit ended.
pub(in crate::pipeline) struct Ended<'e> {
    pub(in crate::pipeline) result: &'e AttemptResult,
    pub(in crate::pipeline) lane: &'e Lane,
    /// Its delivery had failed before.
    pub(in crate::pipeline) is_retry: bool,
    /// A template names the server: one that does not connect is one of many.
    pub(in crate::pipeline) is_many_servers: bool,
    /// The address, if it is not known yet.
    pub(in crate::pipeline) address: &'e (dyn Fn() -> Option<Arc<str>> + Sync),
}

#[cfg(test)]
impl<'e> Ended<'e> {
    /// The first attempt of a delivery that has no address.
    pub(in crate::pipeline) fn of(result: &'e AttemptResult, lane: &'e Lane) -> Self {
        Self { result, lane, is_retry: false, is_many_servers: false, address: &|| None }
    }
}

impl Visit {
    pub(super) fn new(
        destination: &Arc<Destination>,
        address: Option<&Arc<Destination>>,
        kind: Kind,
    ) -> Self {
        Self { destination: Stay::of(destination), address: address.map(Stay::of), kind }
    }

    /// A batch of so many is full: more can not be held for this destination.
    pub(in crate::pipeline) fn most_in_batch(&self, max_items: u32) -> usize {
        (max_items as usize).min(self.destination.at.bounds().most)
    }

    /// Waits for its turn: at its address, its destination, then for `admit`, then for one of `slots`, which all share. None when one of
    /// the first is held back: then the delivery is to be handed back.
    pub(in crate::pipeline) async fn turn<'s, A>(
        &mut self,
        admit: impl Future<Output = A>,
        slots: &'s Semaphore,
    ) -> Option<(Turn<'_, 's>, A)> {
        let destination = &*self.destination.at;
        let (clock, fixed) = (destination.clock(), self.kind == Kind::Fixed);
        let mut address_pass = match &self.address {
            Some(address) if fixed => Some(address.at.gate().pass().await?),
            _ => None,
        };
        let pass = destination.gate().pass().await?;
        let admission = admit.await;
        if let Some(address) = self.address.as_ref().filter(|_| fixed) {
            address.at.pacer().token(clock).await;
        }
        let slot = destination.pacer().pace(slots, clock).await;
        if destination.gate().is_void(&pass) {
            return None;
        }
        if let Some(address) = &self.address {
            match &address_pass {
                Some(pass) if address.at.gate().is_void(pass) => return None,
                Some(_) => {}
                None => address_pass = Some(address.at.gate().try_pass(clock.now()).ok()?),
            }
        }
        self.destination.begin();
        if let Some(address) = &mut self.address {
            address.begin();
        }
        let epoch = self.destination.at.pacer().epoch();
        let address_epoch = self.address.as_ref().map_or(0, |address| address.at.pacer().epoch());
        Some((Turn { visit: self, pass, address_pass, epoch, address_epoch, slot }, admission))
    }

    /// For how long it waits in the store if its address is held back or tried now; none if claims know of that. `unit` is a
    /// random number in `[0, 1)`.
    pub(in crate::pipeline) fn pause(&self, unit: f64) -> Option<Duration> {
        let address = &self.address.as_ref().filter(|_| self.kind == Kind::Made)?.at;
        let now = address.clock().now();
        match address.gate().try_pass(now) {
            Ok(_) => None,
            Err(NoPass::Tried) => Some(TRIED.mul_f64(1.0 + unit)),
            Err(NoPass::Held(until)) => {
                let held = until.since(now);
                Some(held + held.min(SPREAD).mul_f64(unit))
            }
        }
    }
}

impl Turn<'_, '_> {
    /// What came of the visit. Whether its destination or its address is held back now because of it.
    pub(in crate::pipeline) fn report(&self, all: &Destinations, ended: &Ended<'_>) -> bool {
        let Err(failure) = ended.result else { return self.took() };
        let call = FailedCall { is_retry: ended.is_retry, ..FailedCall::default() };
        let (scope, call) = match DestinationEvidence::of(ended.result) {
            DestinationEvidence::None => return false,
            DestinationEvidence::Up => return self.took(),
            DestinationEvidence::Busy => return self.refused(all, ended, &failure.problem),
            DestinationEvidence::Untrusted => (Scope::Server, FailedCall { is_certain: true, ..call }),
            DestinationEvidence::Down { scope, retry_after } => (scope, FailedCall { retry_after, ..call }),
        };
        self.fail_where_down(all, ended, scope, &Failed { problem: &failure.problem, lane: ended.lane, call })
    }

    /// A call failed because of the server or the address.
    fn fail_where_down(
        &self,
        all: &Destinations,
        ended: &Ended<'_>,
        scope: Scope,
        failed: &Failed<'_>,
    ) -> bool {
        let is_server = scope == Scope::Server && !ended.is_many_servers;
        if is_server || self.visit.kind == Kind::Alone {
            return is_held(self.destination(), self.pass.generation, failed);
        }
        self.failed(all, ended, failed)
    }

    fn destination(&self) -> &Destination {
        &self.visit.destination.at
    }

    /// Of the address' gate; one that was not known yet is of its first.
    fn address_generation(&self) -> u64 {
        self.address_pass.as_ref().map_or(0, |pass| pass.generation)
    }

    /// The address, known from now on if there is room for it.
    fn address(&self, all: &Destinations, ended: &Ended<'_>) -> Option<Arc<Destination>> {
        match &self.visit.address {
            Some(address) => Some(Arc::clone(&address.at)),
            None => all.made_address((ended.address)()?, self.destination()),
        }
    }

    fn took(&self) -> bool {
        self.destination().took(self.pass.generation);
        if let Some(address) = &self.visit.address {
            address.at.took(self.address_generation());
        }
        false
    }

    /// An address failed. The destination hears of it once, until a call there does not fail: one that is called often counts no more than others.
    fn failed(&self, all: &Destinations, ended: &Ended<'_>, failed: &Failed<'_>) -> bool {
        let destination = self.destination();
        let one_of_many =
            Failed { call: FailedCall { is_one_of_many: true, is_certain: false, ..failed.call }, ..*failed };
        let address = self.address(all, ended);
        let (is_first, is_address_held) = address.map_or((true, false), |address| {
            (address.fails(), is_held(&address, self.address_generation(), failed))
        });
        let counts = is_first || destination.gate().is_half_open();
        let is_destination_held = counts && is_held(destination, self.pass.generation, &one_of_many);
        is_address_held || is_destination_held
    }

    /// A call was refused because of a rate: whose that is, is learned.
    fn refused(&self, all: &Destinations, ended: &Ended<'_>, problem: &Problem) -> bool {
        let destination = self.destination();
        if let (Kind::Fixed, Some(address)) = (self.visit.kind, &self.visit.address) {
            address.at.refuses_rate(self.address_epoch);
            return false;
        }
        let address = (self.visit.kind == Kind::Made).then(|| self.address(all, ended)).flatten();
        let Some(address) = address.filter(|address| !is_rate_of(destination, address)) else {
            destination.refuses_rate(self.epoch);
            return false;
        };
        let call = FailedCall { is_retry: ended.is_retry, ..FailedCall::default() };
        is_held(&address, self.address_generation(), &Failed { problem, lane: ended.lane, call })
    }
}

/// Whether a refusal at this address speaks for the rate of the destination.
fn is_rate_of(destination: &Destination, address: &Destination) -> bool {
    let share = {
        let mut own = address.refusals();
        own.share.add(true);
        own.share
    };
    let mut hasher = DefaultHasher::new();
    address.name().hash(&mut hasher);
    let mut refusals = destination.refusals();
    refusals.share.add(true);
    let are_several = refusals.addresses.add(hasher.finish(), destination.clock().now());
    !share.is_its_own(&refusals.share) && (are_several || destination.pacer().has_learned())
}

/// A call failed. Whether this held back where it went.
fn is_held(at: &Destination, generation: u64, failed: &Failed<'_>) -> bool {
    let is_held = at.gate().failed(generation, failed, at.clock().now());
    if is_held {
        at.tell_held(failed.problem);
    }
    is_held
}

/// A place at a destination for a delivery that is entered when the one before it in its run has ended. It ends nothing.
pub(in crate::pipeline) struct HeldPlace(Arc<Destination>);

impl HeldPlace {
    pub(super) fn at(destination: &Arc<Destination>) -> Self {
        destination.enter();
        Self(Arc::clone(destination))
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.0.begin();
        self.0.give_back();
    }
}

impl Stay {
    fn of(at: &Arc<Destination>) -> Self {
        at.enter();
        Self { at: Arc::clone(at), is_waiting: true }
    }

    fn begin(&mut self) {
        if std::mem::take(&mut self.is_waiting) {
            self.at.begin();
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.begin();
        self.at.leave();
    }
}
