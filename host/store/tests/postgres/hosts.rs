//! Several hosts, and transactions that overlap: what the order of commits decides.

use std::sync::Arc;

use aftercommit_core::{DeliveryId, EntityEvent};
use aftercommit_store::{
    AttemptRecord, ClaimRequest, Claims as _, Completion, DeadLetters as _, Definitions as _, End,
    Events as _, HostId, Hosts as _, Intake as _, NewDelivery, Plan, Planned, TakeRequest, Taken,
    conformance::TestDatabase as _,
};

use crate::database::{Database, Nobody, at, execute};

/// One delivery an event, with an ordering key if there is one.
struct OneEach(Option<&'static str>);

impl Plan for OneEach {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "watcher", "hook"),
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            priority: 100,
            max_attempts: 3,
            ordering_key: self.0.map(str::to_owned),
            hold: false,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

/// Says when it is asked, and answers when it is told to.
struct Slow {
    asked: tokio::sync::mpsc::UnboundedSender<()>,
    go: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Plan for Slow {
    fn plan(&self, event: &EntityEvent) -> Planned {
        self.asked.send(()).unwrap();
        tokio::task::block_in_place(|| self.go.lock().unwrap().recv()).unwrap();
        OneEach(Some("key")).plan(event)
    }
}

pub(crate) async fn take(
    store: &aftercommit_store::PostgresStore,
    host: HostId,
    own: usize,
    key: Option<&'static str>,
) -> Taken {
    let request =
        TakeRequest { host, limit: 100, max_bytes: usize::MAX, own, own_bytes: usize::MAX, now: at(0) };
    store.take(request, Arc::new(OneEach(key))).await.unwrap()
}

fn ids(taken: &Taken) -> Vec<&str> {
    taken.owned.iter().map(|delivery| delivery.event.entity_id.as_str()).collect()
}

pub(crate) fn end(id: DeliveryId, attempt: u32, end: End) -> Completion {
    let record = AttemptRecord {
        max_attempts: 3,
        class: None,
        code: None,
        message: "a nul \0 character".into(),
        http_status: Some(200),
        started_at: at(1),
        duration: std::time::Duration::from_millis(1),
        plugin: None,
        plugin_digest: None,
    };
    Completion { id, attempt, end, record }
}

async fn table(database: &Database) {
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    database.capture("t", "T").await;
}

/// The later statement commits first: what was taken then never stands in the way of what commits afterwards.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    let database = Database::fresh().await;
    table(&database).await;
    let host = HostId::random();
    let mut slow = database.connect().await;
    execute(&mut slow, "BEGIN; INSERT INTO t VALUES (1, 1)").await.unwrap();
    database.sql("INSERT INTO t VALUES (2, 1)").await;
    assert_eq!(ids(&take(&database.store, host, 10, None).await), ["2"]);
    database.sql("INSERT INTO t VALUES (3, 1)").await;
    execute(&mut slow, "SAVEPOINT s; INSERT INTO t VALUES (4, 1); ROLLBACK TO s; COMMIT").await.unwrap();
    assert_eq!(ids(&take(&database.store, host, 10, None).await), ["1", "3"]);
    assert_eq!(database.store.inbox_len().await.unwrap(), 0);
}

/// A host that is in the middle of taking rows keeps them; another takes the others and does not wait.
#[tokio::test]
async fn two_hosts_never_take_the_same_row() {
    let database = Database::fresh().await;
    table(&database).await;
    database.sql("INSERT INTO t SELECT n, n FROM generate_series(1, 20) AS n").await;
    let mut other = database.connect().await;
    let holding = "BEGIN; DELETE FROM observer_inbox WHERE place IN (SELECT place FROM observer_inbox ORDER BY place LIMIT 5)";
    execute(&mut other, holding).await.unwrap();
    let taken = take(&database.store, HostId::random(), 100, None).await;
    assert_eq!(taken.events, 15);
    execute(&mut other, "ROLLBACK").await.unwrap();
    assert_eq!(
        ids(&take(&database.another().await, HostId::random(), 100, None).await),
        ["1", "2", "3", "4", "5"]
    );
}

/// A host takes an event while another is in the middle of taking an earlier one of the same entity.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_does_not_overtake_one_that_is_being_taken() {
    let database = Database::fresh().await;
    table(&database).await;
    database.sql("INSERT INTO t VALUES (1, 1)").await;
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let (answer, go) = std::sync::mpsc::channel();
    let plan = Arc::new(Slow { asked, go: std::sync::Mutex::new(go) });
    let (host, store) = (HostId::random(), database.store.clone());
    let request =
        TakeRequest { host, limit: 100, max_bytes: usize::MAX, own: 10, own_bytes: usize::MAX, now: at(0) };
    let first = tokio::spawn(async move { store.take(request, plan).await });
    is_asked.recv().await.unwrap();
    database.sql("INSERT INTO t VALUES (2, 1)").await;
    let other = database.another().await;
    let mut second = tokio::spawn(async move { take(&other, HostId::random(), 10, Some("key")).await });
    tokio::select! {
        overtaken = &mut second => panic!("taken first: {:?}", ids(&overtaken.unwrap())),
        () = wait_until_blocked(&database) => {}
    }
    answer.send(()).unwrap();
    assert_eq!(ids(&first.await.unwrap().unwrap()), ["1"]);
    let second = second.await.unwrap();
    assert_eq!((ids(&second).len(), second.ready), (0, 1), "it waits for its turn");
}

/// The delivery before it ends while one with the same key is being made: the new one gets the turn.
#[tokio::test]
async fn the_turn_is_not_lost_between_two_transactions() {
    let database = Database::fresh().await;
    table(&database).await;
    let host = HostId::random();
    database.sql("INSERT INTO t VALUES (1, 1)").await;
    let first = take(&database.store, host, 10, Some("key")).await.owned.remove(0);
    database.sql("INSERT INTO t VALUES (2, 1)").await;
    database.settle().await;
    let mut making = database.connect().await;
    // As intake does it, up to the moment before it commits.
    let copy = "BEGIN; SELECT observer_hold_keys('{key}');
        INSERT INTO observer_deliveries (id, event_seq, event_at, event_id, position, observer, action, action_type,
            state, priority, attempts, max_attempts, ordering_key, created_at)
        SELECT gen_random_uuid(), seq, occurred_at, id, 0, 'watcher', 'hook', 'webhook', 'ready', 100, 0, 3, 'key', now()
        FROM observer_events WHERE entity_id = '2'";
    execute(&mut making, copy).await.unwrap();
    let store = database.store.clone();
    let completing =
        tokio::spawn(async move { store.complete(host, vec![end(first.id, 1, End::Succeeded)]).await });
    wait_until_blocked(&database).await;
    execute(&mut making, "COMMIT").await.unwrap();
    assert_eq!(completing.await.unwrap().unwrap().applied, 1);
    let claimed = database.store.claim(ClaimRequest::new(host, 10, at(1))).await.unwrap();
    assert_eq!(claimed.iter().map(|delivery| &*delivery.event.entity_id).collect::<Vec<_>>(), ["2"]);
}

/// An observer is enabled while intake makes a delivery for it, which it found disabled: neither waits for the other.
#[tokio::test]
async fn a_delivery_does_not_miss_that_its_observer_is_enabled() {
    let database = Database::fresh().await;
    table(&database).await;
    database.sql("INSERT INTO tb_observer (name, enabled) VALUES ('watcher', FALSE)").await;
    database.sql("INSERT INTO t VALUES (1, 1)").await;
    database.settle().await;
    let mut making = database.connect().await;
    let copy = "BEGIN; SELECT name FROM tb_observer WHERE NOT enabled;
        INSERT INTO observer_deliveries (id, event_seq, event_at, event_id, position, observer, action, action_type,
            state, priority, attempts, max_attempts, created_at)
        SELECT gen_random_uuid(), seq, occurred_at, id, 0, 'watcher', 'hook', 'webhook', 'ready', 100, 0, 3, now()
        FROM observer_events";
    execute(&mut making, copy).await.unwrap();
    database.store.set_enabled("watcher", true, at(1)).await.unwrap();
    execute(&mut making, "COMMIT").await.unwrap();
    assert_eq!(database.store.claim(ClaimRequest::new(HostId::random(), 10, at(1))).await.unwrap().len(), 1);
}

#[tokio::test]
async fn intake_goes_on_while_someone_leaves_a_change_of_an_observer_open() {
    let database = Database::fresh().await;
    table(&database).await;
    database.sql("INSERT INTO tb_observer (name) VALUES ('watcher'); INSERT INTO t VALUES (1, 1)").await;
    database.sql("BEGIN; UPDATE tb_observer SET enabled = FALSE").await;
    assert_eq!(take(&database.store, HostId::random(), 10, None).await.owned.len(), 1);
    database.sql("COMMIT").await;
}

/// Two replays of the same dead letter: one of them finds it gone.
#[tokio::test]
async fn a_dead_letter_is_replayed_once() {
    let database = Database::fresh().await;
    table(&database).await;
    let host = HostId::random();
    database.sql("INSERT INTO t VALUES (1, 1)").await;
    let id = take(&database.store, host, 10, None).await.owned[0].id;
    let dead = End::Dead { action: serde_json::json!({"type": "webhook"}) };
    database.store.complete(host, vec![end(id, 1, dead)]).await.unwrap();
    let error = database.store.dead_letter(id).await.unwrap().last_error;
    assert_eq!(error, "a nul \u{fffd} character", "PostgreSQL's texts have no U+0000");
    let (store, other) = (database.store.clone(), database.another().await);
    let replays =
        [store, other].map(|store| tokio::spawn(async move { store.replay(vec![id], at(1)).await }));
    let mut replayed = 0;
    for replay in replays {
        // The one that comes second finds no item, or loses it before it has locked it.
        replayed += replay.await.unwrap().map_or(0, |ids| ids.len());
    }
    assert_eq!((replayed, database.store.history(id).await.unwrap().len()), (1, 1));
    assert_eq!(database.store.claim(ClaimRequest::new(host, 10, at(1))).await.unwrap().len(), 1);
}

/// The heartbeat that comes while others want to take a host for dead saves it.
#[tokio::test]
async fn a_heartbeat_wins_against_a_takeover() {
    let database = Database::fresh().await;
    let host = HostId::random();
    database.store.register(host, "slow", at(0)).await.unwrap();
    let mut beating = database.connect().await;
    execute(&mut beating, "BEGIN; UPDATE observer_hosts SET heartbeat_at = '2030-01-01T00:00:00Z'")
        .await
        .unwrap();
    let store = database.store.clone();
    let taking = tokio::spawn(async move {
        store
            .take_over(
                at(60),
                at(60).minus(std::time::Duration::from_secs(30))
                    ..=at(60).plus(std::time::Duration::from_hours(100_000)),
            )
            .await
    });
    wait_until_blocked(&database).await;
    execute(&mut beating, "COMMIT").await.unwrap();
    assert!(taking.await.unwrap().unwrap().hosts.is_empty());
}

/// Until some session of this database waits for a lock.
async fn wait_until_blocked(database: &Database) {
    let question = "SELECT count(*)::text FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.ask(question).await.as_deref() == Some("0") {
        tokio::task::yield_now().await;
    }
}

/// A snapshot keeps every row that was taken in its place; what commits later than its seq is found all the same.
#[tokio::test]
async fn events_are_found_behind_and_before_many_that_a_snapshot_holds() {
    let database = Database::fresh().await;
    table(&database).await;
    let mut reader = database.connect().await;
    execute(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    let mut late = database.connect().await;
    execute(&mut late, "BEGIN; INSERT INTO t VALUES (0, 0)").await.unwrap();
    database.sql("INSERT INTO t SELECT i, i FROM generate_series(1, 60000) AS i").await;
    let host = HostId::random();
    let all = async |limit: usize| {
        let mut events = 0;
        loop {
            let request =
                TakeRequest { host, limit, max_bytes: usize::MAX, own: 0, own_bytes: 0, now: at(0) };
            let taken = database.store.take(request, Arc::new(Nobody)).await.unwrap();
            events += taken.events;
            if taken.events == 0 {
                return events;
            }
        }
    };
    assert_eq!(all(10_000).await, 60_000);
    database.sql("INSERT INTO t VALUES (-1, -1)").await;
    assert_eq!(all(10).await, 1);
    execute(&mut late, "COMMIT").await.unwrap();
    let found = async {
        while all(10).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), found)
        .await
        .expect("the whole is looked at again");
}
