//! What becomes of deliveries when the database does not do as it is told: on a real one, which others hold or change.

use std::{pin::pin, sync::atomic::Ordering::Relaxed};

use aftercommit_core::{Clock as _, EntityEvent, EventKind, SystemClock};
use aftercommit_store::{
    AttemptRecord, Backend, ClaimRequest, ClaimedDelivery, DeliveryFilter, DeliveryRow, HostId, NewDelivery,
    Plan, Planned, RunLengths, Schema as _, SqliteOptions, SqliteStore, TakeRequest,
};
use futures::poll;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::pipeline::{HostSettings, clock::CommonClock, upkeep::takeover::free_unknown};

/// Makes one delivery of each event.
struct OneEach {
    ordering_key: Option<String>,
}

impl Plan for OneEach {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "watcher", "hook"),
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            priority: 100,
            max_attempts: 3,
            ordering_key: self.ordering_key.clone(),
            hold: false,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

/// A host that runs the deliveries of so many events.
struct Running {
    folder: TempDir,
    dispatch: Arc<Dispatch>,
    finished: mpsc::Receiver<Finished>,
    deliveries: Vec<(ClaimedDelivery, Place)>,
}

impl Running {
    async fn start(events: u64) -> Self {
        Self::start_with(events, OneEach { ordering_key: None }).await
    }

    /// A host that runs them one after the other.
    async fn start_run(events: u64) -> Self {
        Self::start_with(events, OneEach { ordering_key: Some("key".to_owned()) }).await
    }

    async fn start_with(events: u64, plan: OneEach) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/test.db", folder.path().display());
        let options = SqliteOptions { create: true, busy_timeout: Duration::from_millis(1) };
        let store = SqliteStore::open(&url, options).await.unwrap();
        store.migrate().await.unwrap();
        let store: Arc<dyn Backend> = Arc::new(store);
        let clock = Arc::new(CommonClock::new(Arc::new(SystemClock)));
        let (dispatch, finished) =
            Dispatch::new(HostId::random(), Arc::clone(&store), clock, &HostSettings::default());
        let now = dispatch.clock.now();
        store.register(dispatch.host, "box", now).await.unwrap();
        for n in 0..events {
            store.emit(EntityEvent::new(EventKind::Created, "Order", n, json!({}))).await.unwrap();
        }
        let mut reservation = dispatch.room.reserve(10).await;
        let request = TakeRequest {
            host: dispatch.host,
            limit: 10,
            max_bytes: usize::MAX,
            own: 10,
            own_bytes: usize::MAX,
            now,
        };
        let own = if plan.ordering_key.is_some() { 0 } else { 10 };
        let mut owned = store.take(TakeRequest { own, ..request }, Arc::new(plan)).await.unwrap().owned;
        let runs = RunLengths { others: 10, ..RunLengths::default() };
        let request = ClaimRequest { runs: &runs, ..ClaimRequest::new(dispatch.host, 10, now) };
        owned.extend(store.claim(request).await.unwrap());
        let places = reservation.places(&owned);
        let deliveries = owned.into_iter().zip(places).collect();
        Self { folder, dispatch, finished, deliveries }
    }

    /// As another process.
    fn connect(&self) -> Connection {
        Connection::open(self.folder.path().join("test.db")).unwrap()
    }

    async fn live(&self) -> Vec<DeliveryRow> {
        let filter = DeliveryFilter { limit: 10, ..DeliveryFilter::default() };
        self.dispatch.store.deliveries(filter).await.unwrap()
    }

    /// Ends the deliveries with these messages, and lets the completer come to its end.
    async fn end(&mut self, messages: &[&str]) {
        let together = Arc::<Run>::default();
        for (message, (delivery, place)) in messages.iter().zip(self.deliveries.drain(..)) {
            let done = Done::Ended { completion: succeeded(&delivery, message), untold: None };
            let run = delivery.ordering_key.is_some().then(|| Arc::clone(&together));
            assert!(self.dispatch.done.send(Finished { done, place, run }).await.is_ok());
        }
        let (_, nothing) = mpsc::channel(1);
        let finished = std::mem::replace(&mut self.finished, nothing);
        let last = CancellationToken::new();
        last.cancel();
        run(Arc::clone(&self.dispatch), finished, last).await;
    }
}

fn succeeded(delivery: &ClaimedDelivery, message: &str) -> Completion {
    let record = AttemptRecord {
        max_attempts: 3,
        class: None,
        code: None,
        message: message.to_owned(),
        http_status: None,
        started_at: SystemClock.now(),
        duration: Duration::from_millis(1),
        plugin: None,
        plugin_digest: None,
    };
    Completion { id: delivery.id, attempt: delivery.attempt, end: End::Succeeded, record }
}

#[tokio::test]
async fn an_end_that_is_refused_counts_and_holds_up_no_other() {
    let mut running = Running::start(3).await;
    let refused = running.deliveries[1].0.id;
    running
        .connect()
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON tb_observer_log WHEN NEW.message = 'odd'
             BEGIN SELECT RAISE(ABORT, 'no such message'); END",
        )
        .unwrap();
    running.end(&["good", "odd", "good"]).await;
    let dispatch = &running.dispatch;
    assert_eq!((dispatch.counters.read().succeeded, dispatch.room.taken()), (2, 0));
    let live = running.live().await;
    assert_eq!(live.iter().map(|row| row.id).collect::<Vec<_>>(), [refused]);

    free_unknown(dispatch, &dispatch.room.stand_still().await).await.unwrap();
    assert_eq!(dispatch.counters.read().lost_track, 1);
    let again =
        dispatch.store.claim(ClaimRequest::new(dispatch.host, 10, dispatch.clock.now())).await.unwrap();
    assert_eq!(
        again.iter().map(|delivery| (delivery.id, delivery.attempt)).collect::<Vec<_>>(),
        [(refused, 2)]
    );
}

/// Else it would be made again after those.
#[tokio::test]
async fn what_ended_behind_a_refused_end_in_its_run_is_made_again_behind_it() {
    let mut running = Running::start_run(4).await;
    let ids: Vec<_> = running.deliveries.iter().map(|(delivery, _)| delivery.id).collect();
    running
        .connect()
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON tb_observer_log WHEN NEW.message = 'odd'
             BEGIN SELECT RAISE(ABORT, 'no such message'); END",
        )
        .unwrap();
    running.end(&["good", "odd", "good", "good"]).await;
    let dispatch = &running.dispatch;
    assert_eq!((dispatch.counters.read().succeeded, dispatch.room.taken()), (1, 0));
    assert_eq!(running.live().await.iter().map(|row| row.id).collect::<Vec<_>>(), ids[1..]);

    free_unknown(dispatch, &dispatch.room.stand_still().await).await.unwrap();
    assert_eq!(dispatch.counters.read().lost_track, 3);
    let again =
        dispatch.store.claim(ClaimRequest::new(dispatch.host, 10, dispatch.clock.now())).await.unwrap();
    let again: Vec<_> = again.iter().map(|delivery| (delivery.id, delivery.round_attempt())).collect();
    assert_eq!(again, [(ids[1], 2)], "in its turn");
}

#[tokio::test]
async fn what_is_under_way_is_not_lost_track_of() {
    let mut running = Running::start(2).await;
    let dispatch = Arc::clone(&running.dispatch);
    free_unknown(&dispatch, &dispatch.room.stand_still().await).await.unwrap();
    assert_eq!(dispatch.counters.read().lost_track, 0);
    running.end(&["good", "good"]).await;
    assert_eq!(dispatch.counters.read().succeeded, 2);
}

/// The first try may have been committed without an answer: a claim before the next would be taken away by it.
#[tokio::test]
async fn nothing_is_claimed_until_what_was_handed_back_is_known_to_be() {
    let mut running = Running::start(1).await;
    let other = running.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (delivery, place) = running.deliveries.remove(0);
    let dispatch = Arc::clone(&running.dispatch);
    let handing_back = tokio::spawn(async move {
        let done = Done::HandedBack { id: delivery.id, attempt: delivery.attempt, not_before: None };
        write(
            &dispatch,
            vec![(done, None)],
            &mut Alerts::default(),
            &mut Patience::new("test", &dispatch.fatal),
        )
        .await;
        dispatch.room.free(vec![place]);
    });
    let dispatch = &running.dispatch;
    while dispatch.counters.handed_back.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let mut next = pin!(dispatch.room.reserve(1));
    assert!(poll!(&mut next).is_pending(), "the database is held, so nothing is handed back");
    other.execute_batch("COMMIT").unwrap();
    next.await;
    handing_back.await.unwrap();
    assert_eq!(running.live().await[0].attempts, 0, "it was handed back, and did not count");
}
