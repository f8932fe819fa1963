//! Events are numbered in the order of changes, also when a row of the inbox becomes visible late, comes back, or another
//! host is taking it.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use aftercommit_core::{DeliveryId, EntityEvent};
use aftercommit_store::{
    HostId, Intake as _, NewDelivery, Plan, Planned, Quarantine as _, TakeRequest,
    conformance::TestDatabase as _,
};
use sqlx::PgConnection;
use tokio::time::{sleep, timeout};

use crate::database::{Database, Nobody, at, execute};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)";

const CONNECTIONS: &str =
    "FROM pg_stat_activity WHERE application_name = 'aftercommit' AND datname = current_database()";

fn request(limit: usize) -> TakeRequest {
    TakeRequest { host: HostId::random(), limit, max_bytes: usize::MAX, own: 0, own_bytes: 0, now: at(0) }
}

/// The events of one entity, the first first.
async fn kinds_of(database: &Database, entity: &str) -> Vec<String> {
    let events = database.events().await;
    events
        .iter()
        .filter(|event| event.entity_id == entity)
        .map(|event| event.event_kind.to_string())
        .collect()
}

/// Takes 20,000 rows while a snapshot keeps what is left of them, so that no look at the whole inbox is short. What is returned
/// holds the snapshot.
async fn lengthen(database: &Database) -> PgConnection {
    let mut snapshot = database.connect().await;
    execute(&mut snapshot, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t").await.unwrap();
    database.sql("INSERT INTO t SELECT n, 0 FROM generate_series(100001, 120000) AS n").await;
    database.settle().await;
    snapshot
}

#[tokio::test]
async fn a_change_is_not_overtaken_by_the_next_of_its_row_where_looks_at_the_whole_inbox_are_long() {
    let database = Database::fresh().await;
    database.sql(TABLE).await;
    database.capture("t", "T").await;
    let mut late = database.connect().await;
    execute(&mut late, "BEGIN; INSERT INTO t VALUES (1, 0)").await.unwrap();
    let _snapshot = lengthen(&database).await;
    execute(&mut late, "COMMIT").await.unwrap();
    database.sql("UPDATE t SET n = 1 WHERE id = 1").await;
    database.settle().await;
    database.sql("DELETE FROM t WHERE id = 1").await;
    database.settle().await;
    assert_eq!(kinds_of(&database, "1").await, ["created", "updated", "deleted"]);
}

#[tokio::test]
async fn what_becomes_visible_while_a_take_begins_is_taken_in_its_place() {
    let database = Database::fresh().await;
    database.sql(TABLE).await;
    database.capture("t", "T").await;
    let mut late = database.connect().await;
    execute(&mut late, "BEGIN; INSERT INTO t VALUES (1, 0)").await.unwrap();
    database.sql("INSERT INTO t VALUES (2, 0)").await;
    // The take may look, and not lock.
    execute(&mut late, "LOCK TABLE observer_inbox IN EXCLUSIVE MODE").await.unwrap();
    let store = database.store.clone();
    let take = tokio::spawn(async move { store.take(request(10), Arc::new(Nobody)).await });
    until(&database, &waiting()).await;
    execute(&mut late, "COMMIT").await.unwrap();
    assert_eq!(take.await.unwrap().unwrap().events, 2);
    assert_eq!(database.kinds().await, ["created 1", "created 2"]);
}

/// A crash of the server takes back the last takes, of which the host knows that they were committed.
#[tokio::test]
async fn rows_that_come_back_are_taken_before_later_ones() {
    let database = Database::fresh().await;
    database.sql(TABLE).await;
    database.capture("t", "T").await;
    let _snapshot = lengthen(&database).await;
    let row =
        "INSERT INTO observer_inbox (place, seq, entity_type, entity_id, event_kind, occurred_at, data)";
    database
        .sql(&format!(
            "SELECT pg_terminate_backend(pid, 60000) {CONNECTIONS};
             {row} VALUES (3, 0, 'T', '1', 'created', now(), '{{}}');
             {row} VALUES (nextval('observer_events_seq'), 0, 'T', '1', 'updated', now(), '{{}}')"
        ))
        .await;
    // Not before all connections of the host have been found ended.
    while database.store.take(request(1000), Arc::new(Nobody)).await.is_err() {}
    database.settle().await;
    assert_eq!(kinds_of(&database, "1").await, ["created", "updated"]);
}

/// Says that it was asked, and waits for leave to go on.
struct Held {
    asked: Sender<()>,
    leave: Mutex<Receiver<()>>,
}

impl Plan for Held {
    fn plan(&self, _: &EntityEvent) -> Planned {
        self.asked.send(()).unwrap();
        let _ = tokio::task::block_in_place(|| self.leave.lock().unwrap().recv());
        Planned::default()
    }
}

/// The connection of the first host is cut in the middle of its take.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_another_host_is_taking_is_not_overtaken() {
    let database = Database::fresh().await;
    database.sql(TABLE).await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, 0)").await;
    let ((asked, was_asked), (leave, has_leave)) = (channel(), channel());
    let first = database.another().await;
    let plan = Arc::new(Held { asked, leave: Mutex::new(has_leave) });
    let first = tokio::spawn(async move { first.take(request(10), plan).await });
    tokio::task::block_in_place(|| was_asked.recv()).unwrap();
    database.sql("UPDATE t SET n = 1").await;
    let store = database.store.clone();
    let second = tokio::spawn(async move { store.take(request(10), Arc::new(Nobody)).await });
    while !second.is_finished() && !is_there(&database, &waiting()).await {
        sleep(Duration::from_millis(5)).await;
    }
    database
        .sql(&format!(
            "SELECT pg_terminate_backend(pid, 60000) {CONNECTIONS} AND state = 'idle in transaction'"
        ))
        .await;
    // It may take what is left then.
    drop(leave);
    let _ = first.await.unwrap();
    second.await.unwrap().unwrap();
    database.settle().await;
    assert_eq!(database.kinds().await, ["created 1", "updated 1"]);
}

/// Refused by the database; before that, the lock of another row is given up.
struct Unlocks(Mutex<Option<PgConnection>>);

impl Plan for Unlocks {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let locked = self.0.lock().unwrap().take();
        if let Some(mut locked) = locked {
            let unlock = async { execute(&mut locked, "ROLLBACK").await.unwrap() };
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(unlock));
        }
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "watcher", "hook"),
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            priority: 100,
            max_attempts: 3,
            ordering_key: Some(event.data["key"].as_str().unwrap_or("good").into()),
            hold: true,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_locked_is_not_put_aside_for_the_next() {
    let database = Database::fresh().await;
    database
        .sql(
            "INSERT INTO observer_inbox (place, seq, entity_type, entity_id, event_kind, occurred_at, data)
             VALUES (1, 0, 'T', 'good', 'created', now(), '{}'),
                    (2, 0, 'T', 'refused', 'created', now(), json_build_object('key', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n)))",
        )
        .await;
    let mut locked = database.connect().await;
    execute(&mut locked, "BEGIN; SELECT 1 FROM observer_inbox WHERE place = 1 FOR UPDATE").await.unwrap();
    let plan: Arc<dyn Plan> = Arc::new(Unlocks(Mutex::new(Some(locked))));
    while database.store.take(request(1), Arc::clone(&plan)).await.unwrap().more {}
    assert_eq!(database.kinds().await, ["created good"]);
    let aside = database.store.quarantined(10).await.unwrap();
    assert_eq!(aside.iter().map(|row| row.entity_id.as_deref()).collect::<Vec<_>>(), [Some("refused")]);
}

fn waiting() -> String {
    format!("SELECT 1 {CONNECTIONS} AND wait_event_type = 'Lock'")
}

async fn is_there(database: &Database, query: &str) -> bool {
    database.ask(query).await.is_some()
}

/// Waits until the query has a row.
async fn until(database: &Database, query: &str) {
    let waits = async {
        while !is_there(database, query).await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_mins(1), waits).await.expect(query);
}
