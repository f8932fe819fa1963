//! Runs deliveries of one ordering key one after the other in one task, without the database between them
//! (`docs/design/runs.md`).
//!
//! The claimer claims with the first delivery of a key those that follow it. The next begins as soon as the one before it has
//! ended, and before that end is written. When one is to be tried again or can not run now, when its end can not be
//! written, or when the time of the run is over, the rest is handed back: it never began, and costs no attempt.
//!
//! Each delivery keeps its own place, turn and end; what holds back an action is looked at before each. How long a run may be depends
//! on how fast the observer's deliveries were: a slow one gains nothing from it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aftercommit_runtime::PreparedEvent;
use aftercommit_store::{ClaimedDelivery, RunLengths};
use parking_lot::Mutex;
use tracing::Instrument as _;

use super::{
    completer::Done,
    destinations::HeldPlace,
    dispatch::{Dispatch, hand_back},
    room::Place,
};

/// A run has as many deliveries as took this long lately: enough that the database costs little, and few enough that what is behind a
/// run waits no longer.
const WORTH: Duration = Duration::from_millis(200);

/// The rest of a run that takes longer than this is handed back.
const LONGEST: Duration = Duration::from_secs(1);

/// Behind the first, at most: a quarter of the places by default.
const MOST: usize = 249;

/// Behind the first, while it is not known how long the observer's deliveries take.
const UNKNOWN: usize = 7;

/// How long ordered deliveries take, and how long a run may last.
pub(super) struct Runs {
    /// By observer: the average, of which the last one is an eighth.
    took: Mutex<HashMap<Arc<str>, Duration>>,
    /// A host that stalls may be taken for dead: it begins nothing of a run that it claimed so long ago.
    longest_claim: Duration,
}

/// What the deliveries of one run share.
#[derive(Default)]
pub(super) struct Run {
    is_broken: AtomicBool,
}

/// A delivery that is about to run.
pub(super) struct Item {
    pub(super) delivery: ClaimedDelivery,
    pub(super) event: Arc<PreparedEvent>,
    pub(super) place: Place,
}

/// Ordered deliveries that were claimed at the same time, by their keys.
#[derive(Default)]
pub(super) struct ByKey {
    runs: Vec<Vec<Item>>,
    of_key: HashMap<Arc<str>, usize>,
}

impl Run {
    /// An end could not be written, or came too late: no later one of the run is written, and nothing more of it begins.
    pub(super) fn break_off(&self) {
        self.is_broken.store(true, SeqCst);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(SeqCst)
    }
}

impl ByKey {
    /// Adds a delivery behind the others of its key.
    pub(super) fn add(&mut self, key: Arc<str>, item: Item) {
        let next = self.runs.len();
        let run = *self.of_key.entry(key).or_insert(next);
        if run == next {
            self.runs.push(Vec::new());
        }
        self.runs[run].push(item);
    }

    pub(super) fn runs(self) -> Vec<Vec<Item>> {
        self.runs
    }
}

impl Runs {
    pub(super) fn new(lease_timeout: Duration) -> Self {
        Self { took: Mutex::default(), longest_claim: lease_timeout / 3 }
    }

    /// How many deliveries of one key are to be claimed together.
    pub(super) fn lengths(&self) -> RunLengths {
        let took = self.took.lock();
        let by_observer = took.iter().map(|(observer, took)| (Arc::clone(observer), behind_first(*took)));
        RunLengths { others: UNKNOWN, by_observer: by_observer.collect() }
    }

    /// Forgets how long deliveries of observers took that are gone.
    pub(super) fn keep_used(&self, is_used: impl Fn(&str) -> bool) {
        let mut took = self.took.lock();
        took.retain(|observer, _| is_used(observer));
    }

    fn took(&self, observer: &Arc<str>, took: Duration) {
        let mut all = self.took.lock();
        match all.get_mut(observer) {
            Some(average) => *average = (*average * 7 + took) / 8,
            None => {
                all.insert(Arc::clone(observer), took);
            }
        }
    }

    /// Until when deliveries of a run may begin that was claimed at this time or later.
    pub(super) fn until(&self, claimed: Instant) -> Instant {
        (Instant::now() + LONGEST).min(claimed + self.longest_claim)
    }
}

/// How many are worth to be claimed behind the first, if each takes so long.
fn behind_first(took: Duration) -> usize {
    let worth = WORTH.as_nanos() / took.as_nanos().max(1);
    usize::try_from(worth).unwrap_or(usize::MAX).saturating_sub(1).min(MOST)
}

impl Dispatch {
    /// Runs deliveries of one key, in this order.
    pub(super) fn spawn_run(self: &Arc<Self>, items: Vec<Item>, until: Instant) {
        let dispatch = Arc::clone(self);
        // Those that wait take places of their destination, so that others are claimed no further than it has room for.
        let snapshot = self.snapshot.load();
        let held: Vec<Option<HeldPlace>> = items
            .iter()
            .enumerate()
            .map(|(n, Item { delivery, .. })| {
                let action = snapshot.action(&delivery.observer, &delivery.action).filter(|_| n > 0)?;
                Some(self.destinations.hold(action))
            })
            .collect();
        let items: Vec<_> = items.into_iter().zip(held).collect();
        self.tasks.spawn(async move { dispatch.run_one_by_one(items, until).await });
    }

    async fn run_one_by_one(&self, items: Vec<(Item, Option<HeldPlace>)>, until: Instant) {
        let run = (items.len() > 1).then(Arc::<Run>::default);
        let is_over = || Instant::now() >= until || run.as_ref().is_some_and(|run| run.is_broken());
        let mut goes_on = true;
        for (n, (Item { delivery, event, place }, held)) in items.into_iter().enumerate() {
            drop(held);
            goes_on &= n == 0 || !is_over();
            let done = if goes_on && !place.is_refused() {
                // Others take turns with a run at the processor, too.
                tokio::task::consume_budget().await;
                self.run_next(delivery, &event, &place).await
            } else {
                Some(hand_back(&delivery, None))
            };
            goes_on &= done.as_ref().is_some_and(Done::lets_the_next_go);
            if let Some(done) = done {
                self.finish(done, place, run.clone()).await;
            }
        }
    }

    /// None when the host gives up what it runs.
    async fn run_next(
        &self,
        delivery: ClaimedDelivery,
        event: &Arc<PreparedEvent>,
        place: &Place,
    ) -> Option<Done> {
        let (observer, began) = (Arc::clone(&delivery.observer), Instant::now());
        let span = delivery_span(&delivery);
        let deliver = self.deliver(delivery, event, place).instrument(span);
        let done = self.abandon.run_until_cancelled(deliver).await?;
        if matches!(done, Done::Ended { .. }) {
            self.runs.took(&observer, began.elapsed());
        }
        Some(done)
    }
}

/// What is said while a delivery runs names it.
pub(super) fn delivery_span(delivery: &ClaimedDelivery) -> tracing::Span {
    tracing::info_span!(
        "delivery",
        delivery_id = %delivery.id,
        event_id = %delivery.event.id,
        observer = %delivery.observer,
        action = %delivery.action,
        attempt = delivery.attempt,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_as_long_as_it_is_worth() {
        let micros = Duration::from_micros;
        let lengths = [0, 50, 2_000, 50_000, 100_000, 100_001, 10_000_000].map(|us| behind_first(micros(us)));
        assert_eq!(lengths, [MOST, MOST, 99, 3, 1, 0, 0]);
    }

    #[test]
    fn an_observer_that_becomes_slow_has_shorter_runs() {
        let runs = Runs::new(Duration::from_secs(30));
        assert_eq!(runs.lengths(), RunLengths { others: UNKNOWN, ..RunLengths::default() });
        let observer: Arc<str> = "hook".into();
        let mut lengths = Vec::new();
        for ms in [1, 1, 400, 400, 1, 1, 1, 1, 1, 1] {
            runs.took(&observer, Duration::from_millis(ms));
            lengths.push(runs.lengths().by_observer[&observer]);
        }
        assert_eq!(lengths, [199, 199, 2, 1, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_run_that_was_claimed_long_ago_is_over() {
        let runs = Runs::new(Duration::from_secs(3));
        let now = Instant::now();
        let long_ago = now.checked_sub(Duration::from_secs(2)).unwrap();
        assert!(runs.until(now) > now && runs.until(long_ago) <= now);
    }
}
