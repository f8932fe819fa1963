//! The write lock of the file, which the application waits for: nothing is read, parsed or decided by conditions while the host holds
//! it, and what is written under it comes in pieces.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use aftercommit_core::{DeliveryId, EntityEvent};
use aftercommit_store::{
    AttemptRecord, ClaimRequest, Claims as _, Completion, DeadLetterFilter, DeadLetters as _,
    Deliveries as _, DeliveryFilter, End, Events as _, HostId, Intake as _, NewDelivery, Plan, Planned,
    Retention as _, RetentionLimits, Schema as _, TakeRequest, Taken, Transactions as _,
    conformance::TestDatabase as _,
};
use rusqlite::Connection;

use crate::database::{Database, at};

/// A captured table with so many rows of so many bytes.
async fn database(rows: usize, bytes: usize) -> Database {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT); CREATE TABLE plain (id INTEGER)").await;
    database.capture("t", "T").await;
    let statement = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})
         INSERT INTO t SELECT n, printf('%.*c', {bytes}, 'x') FROM n"
    );
    database.sql(&statement).await;
    database
}

/// Everybody's event goes to one observer, and the application acts while the plan is asked for the first time.
struct Acting {
    path: PathBuf,
    statements: Mutex<Option<&'static str>>,
}

impl Acting {
    fn on(database: &Database, statements: &'static str) -> Arc<Self> {
        Arc::new(Self { path: database.path(), statements: Mutex::new(Some(statements)) })
    }

    fn nothing(database: &Database) -> Arc<Self> {
        Arc::new(Self { path: database.path(), statements: Mutex::new(None) })
    }
}

impl Plan for Acting {
    fn plan(&self, event: &EntityEvent) -> Planned {
        if let Some(statements) = self.statements.lock().unwrap().take() {
            let application = Connection::open(&self.path).unwrap();
            application.busy_timeout(Duration::ZERO).unwrap();
            application.execute_batch(statements).expect("nobody holds the lock");
        }
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "watcher", "hook"),
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            priority: 100,
            max_attempts: 3,
            ordering_key: None,
            hold: false,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

async fn take(database: &Database, own: usize, plan: Arc<dyn Plan>) -> Taken {
    let request = TakeRequest {
        host: HostId(uuid::Uuid::nil()),
        limit: 1000,
        max_bytes: usize::MAX,
        own,
        own_bytes: usize::MAX,
        now: at(0),
    };
    database.store.take(request, plan).await.unwrap()
}

/// How many transactions of this name were committed.
fn transactions(database: &Database, name: &str) -> u64 {
    database.store.transactions().iter().find(|count| count.name == name).map_or(0, |count| count.done)
}

fn ids(taken: &Taken) -> Vec<&str> {
    taken.owned.iter().map(|delivery| delivery.event.entity_id.as_str()).collect()
}

#[tokio::test]
async fn the_application_writes_while_conditions_are_evaluated() {
    let database = database(2, 10).await;
    let taken = take(&database, 10, Acting::on(&database, "INSERT INTO t VALUES (3, 'meanwhile')")).await;
    assert_eq!(ids(&taken), ["1", "2"]);
    assert_eq!(ids(&take(&database, 10, Acting::nothing(&database)).await), ["3"]);
}

#[tokio::test]
async fn rows_that_another_host_took_meanwhile_are_left_to_it() {
    let database = database(3, 10).await;
    let other = "DELETE FROM observer_inbox WHERE seq = (SELECT min(seq) FROM observer_inbox)";
    let taken = take(&database, 10, Acting::on(&database, other)).await;
    assert_eq!((taken.events, taken.owned.len(), taken.more), (0, 0, true));
    assert_eq!(database.ask("SELECT count(*) FROM observer_events").await.as_deref(), Some("0"));
    assert_eq!(ids(&take(&database, 10, Acting::nothing(&database)).await), ["2", "3"]);
}

#[tokio::test]
async fn a_row_that_has_the_number_of_another_is_not_taken_for_it() {
    let database = database(2, 10).await;
    take(&database, 0, Acting::nothing(&database)).await;
    database.sql("INSERT INTO observer_inbox (seq, event_seq) SELECT 1, min(seq) FROM observer_events").await;
    let other = "DELETE FROM observer_inbox;
                 INSERT INTO observer_inbox (seq, event_seq) SELECT 1, max(seq) FROM observer_events";
    database.sql("DELETE FROM observer_deliveries").await;
    let taken = take(&database, 10, Acting::on(&database, other)).await;
    assert_eq!((taken.events, taken.more), (0, true));
    assert_eq!(ids(&take(&database, 10, Acting::nothing(&database)).await), ["2"]);
}

#[tokio::test]
async fn many_rows_and_large_ones_are_taken_in_pieces() {
    let many = database(230, 10).await;
    let taken = take(&many, 150, Acting::nothing(&many)).await;
    assert_eq!((taken.events, taken.owned.len(), taken.ready, taken.more), (230, 150, 80, false));
    assert_eq!(transactions(&many, "take"), 4);

    let large = database(4, 500_000).await;
    let taken = take(&large, 10, Acting::nothing(&large)).await;
    assert_eq!((taken.events, transactions(&large, "take")), (4, 4));
    assert_eq!(ids(&taken), ["1", "2", "3", "4"]);
    assert!(transactions(&large, "claim") == 0 && large.store.inbox_len().await.unwrap() == 0);
}

#[tokio::test]
async fn what_was_taken_before_an_error_is_reported() {
    let database = database(230, 10).await;
    database
        .sql(
            "CREATE TRIGGER odd BEFORE INSERT ON observer_events WHEN NEW.entity_id = '120'
              BEGIN SELECT RAISE(ABORT, 'scripted: not this one'); END",
        )
        .await;
    let taken = take(&database, 1000, Acting::nothing(&database)).await;
    assert_eq!((taken.events, taken.owned.len(), taken.quarantined.len(), taken.more), (229, 229, 1, false));
    assert!(taken.quarantined[0].1.contains("not this one"), "{:?}", taken.quarantined);
}

fn dead(id: DeliveryId, attempt: u32) -> Completion {
    let record = AttemptRecord {
        max_attempts: 3,
        class: Some(aftercommit_core::FailureClass::Permanent),
        code: Some("http_404".into()),
        message: "no such page".into(),
        http_status: Some(404),
        started_at: at(1),
        duration: Duration::from_millis(3),
        plugin: None,
        plugin_digest: None,
    };
    Completion { id, attempt, end: End::Dead { action: serde_json::json!({}) }, record }
}

#[tokio::test]
async fn deliveries_are_claimed_and_ended_in_pieces() {
    let database = database(230, 10).await;
    take(&database, 0, Acting::nothing(&database)).await;
    let host = HostId::random();
    let claimed = database.store.claim(ClaimRequest::new(host, 1000, at(0))).await.unwrap();
    assert_eq!((claimed.len(), transactions(&database, "claim")), (230, 4));
    let ends: Vec<_> = claimed.iter().map(|delivery| dead(delivery.id, delivery.attempt)).collect();
    let report = database.store.complete(host, ends.clone()).await.unwrap();
    assert_eq!((report.applied, report.stale.len(), report.unwritten.len()), (230, 0, 0));
    assert_eq!(transactions(&database, "complete"), 4);
    let report = database.store.complete(host, ends).await.unwrap();
    assert_eq!((report.applied, report.stale.len()), (0, 230));
}

#[tokio::test]
async fn copies_of_large_events_are_written_a_few_at_a_time() {
    let database = database(5, 400_000).await;
    let taken = take(&database, 10, Acting::nothing(&database)).await;
    let ends: Vec<_> = taken.owned.iter().map(|delivery| dead(delivery.id, delivery.attempt)).collect();
    let report = database.store.complete(HostId(uuid::Uuid::nil()), ends).await.unwrap();
    assert_eq!((report.applied, transactions(&database, "complete")), (5, 5));
    assert_eq!(database.store.dead_letters(10).await.unwrap().len(), 5);
}

#[tokio::test]
async fn ends_that_were_written_before_an_error_are_not_written_again() {
    let database = database(150, 10).await;
    let taken = take(&database, 1000, Acting::nothing(&database)).await;
    database
        .sql(
            "CREATE TRIGGER odd BEFORE INSERT ON observer_dlq_items WHEN NEW.entity_id = '120'
              BEGIN SELECT RAISE(ABORT, 'scripted: not this one'); END",
        )
        .await;
    let ends: Vec<_> = taken.owned.iter().map(|delivery| dead(delivery.id, delivery.attempt)).collect();
    let host = HostId(uuid::Uuid::nil());
    let report = database.store.complete(host, ends).await.unwrap();
    assert_eq!((report.applied, report.stale.len(), report.unwritten.len()), (60, 0, 90));
    let error = database.store.complete(host, report.unwritten.clone()).await.unwrap_err();
    assert!(error.to_string().contains("not this one"), "{error}");
    let left: Vec<_> = report.unwritten.into_iter().filter(|end| end.id != taken.owned[119].id).collect();
    assert_eq!(database.store.complete(host, left).await.unwrap().applied, 89);
    let filter = DeliveryFilter { limit: 10, ..DeliveryFilter::default() };
    assert_eq!(database.store.deliveries(filter).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_claimed_meanwhile_is_not_claimed_twice() {
    let database = database(3, 10).await;
    take(&database, 0, Acting::nothing(&database)).await;
    // Two hosts look at the same time, and each finds all three.
    let second = database.second_store().await;
    let (hosts, now) = ([HostId::random(), HostId::random()], at(0));
    let (first, second) = tokio::join!(
        database.store.claim(ClaimRequest::new(hosts[0], 10, now)),
        second.claim(ClaimRequest::new(hosts[1], 10, now)),
    );
    let mut ids: Vec<_> = [first.unwrap(), second.unwrap()].concat().iter().map(|owned| owned.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert_eq!(database.ask("SELECT sum(attempts) FROM observer_deliveries").await.as_deref(), Some("3"));
}

#[tokio::test]
async fn many_dead_letters_and_old_events_are_moved_in_pieces() {
    let database = database(150, 10).await;
    let taken = take(&database, 1000, Acting::nothing(&database)).await;
    let ends: Vec<_> = taken.owned.iter().map(|delivery| dead(delivery.id, delivery.attempt)).collect();
    database.store.complete(HostId(uuid::Uuid::nil()), ends).await.unwrap();
    let mut replayed = 0;
    let filter = DeadLetterFilter::default();
    database.store.replay_all(&filter, at(2), &mut |ids| replayed += ids.len()).await.unwrap();
    assert_eq!((replayed, transactions(&database, "replay")), (150, 3));

    // Ten events are needed, and are passed over once.
    database.sql("DELETE FROM observer_deliveries WHERE event_seq > (SELECT min(event_seq) + 9 FROM observer_deliveries)").await;
    let limits = RetentionLimits { events_before: at(1_000_000_000), log_before: at(0), batch: 100 };
    let first = database.store.purge(limits).await.unwrap();
    assert_eq!((first.events, first.more), (100, true));
    let second = database.store.purge(limits).await.unwrap();
    assert_eq!((second.events, second.more), (40, false));
    database.sql("DELETE FROM observer_deliveries").await;
    assert_eq!(database.store.purge(limits).await.unwrap().events, 10, "the next run looks at all again");
}

#[tokio::test]
async fn a_database_that_is_made_for_it_shrinks() {
    let database = Database::of("PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE filler (body TEXT)").await;
    database.store.migrate().await.unwrap();
    database.sql("INSERT INTO filler VALUES (printf('%.*c', 3000000, 'x')); DELETE FROM filler").await;
    let free = async || -> u32 { database.ask("PRAGMA freelist_count").await.unwrap().parse().unwrap() };
    let before = free().await;
    let limits = RetentionLimits { events_before: at(0), log_before: at(0), batch: 100 };
    while database.store.purge(limits).await.unwrap().more {}
    assert!(before > 700 && free().await < 50, "{before} pages were free, {} are", free().await);
}
