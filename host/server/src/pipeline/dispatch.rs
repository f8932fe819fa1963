//! Runs the deliveries that this host owns, each in a task of its own, bounded in all and by destination.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use aftercommit_core::{Care, Clock, DestinationEvidence, EndpointEvidence, Problem};
use aftercommit_runtime::{Admission, Attempt, PreparedEvent};
use aftercommit_store::{Backend, ClaimedDelivery, HostId};
use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use super::{
    batching::{self, Batches},
    clock::CommonClock,
    completer::{Done, Finished},
    conclusion::{conclude, conclude_gone},
    counters::{Counters, add},
    destinations::{Destinations, Ended, Endpoints, Turn, Visit},
    event_memory::EventMemory,
    fatal::Fatal,
    host::HostSettings,
    lease::Lease,
    lookup::{Lookup, look_up},
    recovery::Recovery,
    room::{Place, Reservation, Room},
    runs::{ByKey, Item, Run, Runs, delivery_span},
    secrets,
};
use crate::observers::{Action, Snapshot};

/// A delivery whose observer is disabled or does not load comes back after this.
pub(super) const WAIT: Duration = Duration::from_secs(1);

/// What intake, claimer and completer share.
pub(super) struct Dispatch {
    pub(super) host: HostId,
    pub(super) store: Arc<dyn Backend>,
    pub(super) clock: Arc<CommonClock>,
    pub(super) lease: Lease,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) room: Room,
    pub(super) destinations: Arc<Destinations>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) batches: Batches,
    pub(super) recovery: Arc<Recovery>,
    pub(super) runs: Runs,
    /// What is held back has changed, and is to be written down.
    pub(super) holds: Arc<Notify>,
    pub(super) counters: Arc<Counters>,
    pub(super) reload: Arc<Notify>,
    /// Whether this host's entry says which observers it works with.
    pub(super) is_reported: Arc<AtomicBool>,
    /// Another snapshot is there.
    pub(super) loaded: Arc<Notify>,
    pub(super) claimer: Arc<Notify>,
    /// How many actions run at once in all.
    pub(super) slots: Semaphore,
    pub(super) done: mpsc::Sender<Finished>,
    pub(super) tasks: TaskTracker,
    /// What has not started is handed back.
    pub(super) stop: CancellationToken,
    /// The host has to end.
    pub(super) fatal: Fatal,
    /// What still runs is abandoned; its host is about to retire.
    pub(super) abandon: CancellationToken,
}

impl Dispatch {
    /// One that owns nothing yet, and where the completer hears what it is done with.
    pub(super) fn new(
        host: HostId,
        store: Arc<dyn Backend>,
        clock: Arc<CommonClock>,
        settings: &HostSettings,
    ) -> (Arc<Self>, mpsc::Receiver<Finished>) {
        let (done, finished) = mpsc::channel(settings.channel_capacity);
        let (claimer, holds) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let destinations = Destinations::new(
            settings.destinations(),
            clock.steady(),
            Arc::clone(&claimer),
            Arc::clone(&holds),
        );
        let endpoints =
            Endpoints::new(settings.pause_after_refusals, Arc::clone(&holds), Arc::clone(&claimer));
        let memory = EventMemory::new(settings.memory_bytes, Arc::clone(&claimer));
        let dispatch = Self {
            host,
            store,
            clock,
            lease: Lease::new(settings.lease_timeout),
            snapshot: Arc::default(),
            room: Room::new(settings.channel_capacity, memory),
            destinations: Arc::new(destinations),
            endpoints: Arc::new(endpoints),
            batches: Batches::default(),
            recovery: Arc::default(),
            runs: Runs::new(settings.lease_timeout),
            holds,
            counters: Arc::default(),
            reload: Arc::new(Notify::new()),
            is_reported: Arc::default(),
            loaded: Arc::new(Notify::new()),
            claimer,
            slots: Semaphore::new(settings.max_concurrency),
            done,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            fatal: Fatal::default(),
            abandon: CancellationToken::new(),
        };
        (Arc::new(dispatch), finished)
    }

    /// Starts deliveries that this host owns, each in a place of the reservation; those of one ordering key run one after the
    /// other. Those of one event follow each other, and share what is made of it. Those whose events there is no memory for are
    /// handed back.
    pub(super) fn start(self: &Arc<Self>, deliveries: Vec<ClaimedDelivery>, mut reservation: Reservation) {
        let places = reservation.places(&deliveries);
        let until = self.runs.until(reservation.since());
        drop(reservation);
        let mut last: Option<Arc<PreparedEvent>> = None;
        let mut ordered = ByKey::default();
        for (delivery, mut place) in deliveries.into_iter().zip(places) {
            place.follow(self.recovery.follow(&delivery));
            if place.is_refused() && delivery.ordering_key.is_none() {
                self.refuse(&delivery, place);
                continue;
            }
            let event = last
                .filter(|last| last.event().id == delivery.event.id)
                .unwrap_or_else(|| Arc::new(PreparedEvent::new(Arc::clone(&delivery.event))));
            last = Some(Arc::clone(&event));
            match delivery.ordering_key.clone() {
                None => self.spawn(delivery, event, place),
                Some(key) => ordered.add(key, Item { delivery, event, place }),
            }
        }
        for run in ordered.runs() {
            self.spawn_run(run, until);
        }
    }

    /// Hands back a delivery that was not started.
    fn refuse(self: &Arc<Self>, delivery: &ClaimedDelivery, place: Place) {
        tracing::debug!(
            delivery_id = %delivery.id,
            event_bytes = delivery.event_bytes,
            "another large event is under way; this one waits"
        );
        let (dispatch, done) = (Arc::clone(self), hand_back(delivery, None));
        self.tasks.spawn(async move {
            dispatch.finish(done, place, None).await;
        });
    }

    /// Gives an end to the completer. If that is gone, the delivery is freed with the host.
    pub(super) async fn finish(&self, done: Done, place: Place, run: Option<Arc<Run>>) {
        let _ = self.done.send(Finished { done, place, run }).await;
    }

    fn spawn(self: &Arc<Self>, delivery: ClaimedDelivery, event: Arc<PreparedEvent>, place: Place) {
        let dispatch = Arc::clone(self);
        let span = delivery_span(&delivery);
        self.tasks.spawn(
            async move {
                let abandon = dispatch.abandon.clone();
                let deliver = dispatch.deliver(delivery, &event, &place);
                let Some(done) = abandon.run_until_cancelled(deliver).await else { return };
                dispatch.finish(done, place, None).await;
            }
            .instrument(span),
        );
    }

    pub(super) async fn deliver(
        &self,
        delivery: ClaimedDelivery,
        event: &Arc<PreparedEvent>,
        place: &Place,
    ) -> Done {
        let snapshot = self.snapshot.load_full();
        match look_up(&delivery, &snapshot) {
            Lookup::Run(action) => {
                let visit = self.destinations.visit(&action, snapshot.addressed(&action), event);
                drop(snapshot);
                self.take_turn(&delivery, event, &action, visit, place).await
            }
            Lookup::Exhausted(action, failure) => {
                let attempt = Attempt::uncalled(Err(failure));
                let last = action.policy.retry.max_attempts;
                let times = (Duration::ZERO, self.clock.now());
                conclude(&delivery, delivery.round_attempt().max(last), &action, attempt, times, 0.0)
            }
            Lookup::Gone(problem) => self.gone(&delivery, problem, snapshot.revision).await,
            Lookup::Wait => hand_back(&delivery, Some(WAIT)),
        }
    }

    async fn take_turn(
        &self,
        delivery: &ClaimedDelivery,
        event: &Arc<PreparedEvent>,
        action: &Arc<Action>,
        mut visit: Visit,
        place: &Place,
    ) -> Done {
        if let Some(pause) = visit.pause(fastrand::f64()) {
            return hand_back(delivery, Some(pause));
        }
        // A large event may need more memory than its plugin has: that must not end the attempts of others.
        if !place.is_large() && batching::is_gathered(delivery, action) {
            return self.run_together(delivery, event, action, &mut visit, place).await;
        }
        let Ok(configured) = &action.configured else { return hand_back(delivery, Some(WAIT)) };
        let Some((turn, admission)) = self.turn(&mut visit, action, configured.admit()).await else {
            return hand_back(delivery, visit.pause(fastrand::f64()));
        };
        // Another host may have begun it meanwhile.
        if place.is_lost() || !self.lease.is_held() {
            return hand_back(delivery, Some(WAIT));
        }
        // Hundreds may wait for their turn: what a run needs is not set aside for them, nor moved about.
        Box::pin(self.run(delivery, event, action, &turn, admission)).await
    }

    /// Waits for a turn at the destination, for `admit` and for a turn in all. None when the host stops, or when the
    /// destination or the endpoint is held back: what is held back comes again when it is not, until then claims pass over it.
    pub(super) async fn turn<'v, A>(
        &self,
        visit: &'v mut Visit,
        action: &Action,
        admit: impl Future<Output = A>,
    ) -> Option<(Turn<'v, '_>, A)> {
        let turn = self.stop.run_until_cancelled(visit.turn(admit, &self.slots)).await.flatten()?;
        (!self.endpoints.is_paused(action)).then_some(turn)
    }

    async fn run(
        &self,
        delivery: &ClaimedDelivery,
        event: &PreparedEvent,
        action: &Action,
        turn: &Turn<'_, '_>,
        admission: Admission<'_>,
    ) -> Done {
        if delivery.losses.care() == Care::Alone && !self.mark(delivery).await {
            return hand_back(delivery, Some(WAIT));
        }
        let started = Instant::now();
        let mut attempt = admission.run(event, batching::info(delivery, action)).await;
        let mut renewed = None;
        if secrets::may_be_old(&attempt, action) {
            renewed = self.renewed(action).await;
            match renewed.as_deref().map(|renewed| &renewed.configured) {
                Some(Ok(configured)) => {
                    attempt = configured.admit().await.run(event, batching::info(delivery, action)).await;
                }
                _ => attempt = secrets::retried(attempt),
            }
        }
        let action = renewed.as_deref().unwrap_or(action);
        self.heed(action, event, &attempt, turn, delivery.round_attempt() > 1);
        // One that runs alone is marked as begun: its attempt counts.
        if delivery.losses.care() != Care::Alone && self.is_to_wait(&attempt) {
            return hand_back(delivery, Some(WAIT));
        }
        self.conclude(delivery, action, attempt, started.elapsed())
    }

    /// Whether an attempt is none: it met a server whose certificate is not trusted, and sent nothing. Its delivery waits, with its
    /// destination, until somebody renews or trusts the certificate.
    pub(super) fn is_to_wait(&self, attempt: &Attempt) -> bool {
        let is_untrusted = DestinationEvidence::of(&attempt.result) == DestinationEvidence::Untrusted;
        if is_untrusted {
            // The file of authorities may have been changed meanwhile.
            self.reload.notify_one();
        }
        is_untrusted
    }

    /// Marks a delivery that runs alone, before it begins: should this host die, the attempt counts. `false` if it must not
    /// begin.
    async fn mark(&self, delivery: &ClaimedDelivery) -> bool {
        let losses = delivery.losses.in_a_row;
        tracing::warn!(losses, "runs alone: so many hosts in a row died while they owned this delivery");
        match self.store.begin(self.host, delivery.id, delivery.attempt).await {
            Ok(is_owned) => is_owned,
            Err(error) => {
                tracing::warn!(%error, "can not be marked as begun; it is handed back");
                false
            }
        }
    }

    pub(super) fn conclude(
        &self,
        delivery: &ClaimedDelivery,
        action: &Action,
        attempt: Attempt,
        duration: Duration,
    ) -> Done {
        let times = (duration, self.clock.now());
        conclude(delivery, delivery.round_attempt(), action, attempt, times, fastrand::f64())
    }

    /// Learns from an attempt how its destination and its endpoint are. `is_retry` when its delivery had failed before.
    pub(super) fn heed(
        &self,
        action: &Action,
        event: &PreparedEvent,
        attempt: &Attempt,
        turn: &Turn<'_, '_>,
        is_retry: bool,
    ) {
        let ended = Ended {
            result: &attempt.result,
            lane: &action.lane(),
            is_retry,
            is_many_servers: action.is_many_servers(),
            address: &|| action.address(event),
        };
        if turn.report(&self.destinations, &ended) {
            add(&self.counters.held_back, 1);
        }
        let Err(failure) = &attempt.result else { return self.endpoints.took(action) };
        let snapshot = self.snapshot.load();
        let present = snapshot.action(&action.observer, &action.name);
        // What was under way when its action was changed says nothing of the action as it is.
        if !present.is_some_and(|present| std::ptr::eq(Arc::as_ptr(present), action)) {
            return;
        }
        let evidence = EndpointEvidence::of(failure, action.is_one_endpoint());
        let now = self.clock.now();
        if self.endpoints.refused(action, evidence, &failure.problem, snapshot.revision, now) {
            add(&self.counters.paused, 1);
        }
    }

    /// The snapshot does not know the observer or the action. Dead, if the snapshot is up to date.
    async fn gone(&self, delivery: &ClaimedDelivery, problem: Problem, revision: i64) -> Done {
        match self.store.revision().await {
            Ok(present) if present == revision => conclude_gone(delivery, problem, self.clock.now()),
            Ok(_) => {
                self.reload.notify_one();
                hand_back(delivery, Some(WAIT))
            }
            Err(_) => hand_back(delivery, Some(WAIT)),
        }
    }

    /// There may be something to claim.
    pub(super) fn wake_claimer(&self) {
        self.claimer.notify_one();
    }

    /// Returns when [`Dispatch::wake_claimer`] was called.
    pub(super) async fn claimer_woken(&self) {
        self.claimer.notified().await;
    }
}

/// How this host is done with a delivery that it did not start. One that had failed before waits among the retries that are due: as one
/// that is `ready` it would be taken for one that was never tried.
pub(super) fn hand_back(delivery: &ClaimedDelivery, pause: Option<Duration>) -> Done {
    let again = || (delivery.round_attempt() > 1).then_some(Duration::ZERO);
    let pause = pause.or_else(again).map(next_tick);
    Done::HandedBack { id: delivery.id, attempt: delivery.attempt, pause }
}

/// Pauses are so long: those that are the same are handed back in one transaction.
fn next_tick(pause: Duration) -> Duration {
    const TICK: u128 = 100;
    let ticks = pause.as_millis().div_ceil(TICK) * TICK;
    u64::try_from(ticks).map_or(Duration::MAX, Duration::from_millis)
}
