//! The partitions of days: made ahead, filled, and dropped when nobody needs them.

use std::sync::Arc;

use aftercommit_core::{Clock as _, EntityEvent, EventKind, SystemClock, Timestamp};
use aftercommit_store::{
    ClaimRequest, Claims as _, Events as _, HostId, Intake as _, Retention as _, RetentionLimits,
    TakeRequest, conformance::TestDatabase as _,
};
use serde_json::json;

use crate::database::{Database, Nobody, at, execute};

const DAY: std::time::Duration = std::time::Duration::from_hours(24);

async fn partitions(database: &Database, table: &str) -> usize {
    let count = format!("SELECT count(*)::text FROM pg_inherits WHERE inhparent = '{table}'::regclass");
    database.ask(&count).await.unwrap().parse().unwrap()
}

/// Drops what was complete before this time.
async fn purge(database: &Database, before: Timestamp) -> usize {
    let limits = RetentionLimits { events_before: before, log_before: before, batch: 100 };
    database.store.purge(limits).await.unwrap().events
}

/// As if the partitions of these days had been made in time.
async fn past_days(database: &Database) {
    for day in ["2026-01-01", "2026-01-02"] {
        let name = day.replace('-', "");
        database
            .sql(&format!(
                "CREATE TABLE observer_events_{name} (LIKE observer_events INCLUDING DEFAULTS);
                 ALTER TABLE observer_events ATTACH PARTITION observer_events_{name}
                     FOR VALUES FROM ('{day} 00:00:00+00') TO (timestamptz '{day} 00:00:00+00' + interval '1 day')"
            ))
            .await;
    }
}

async fn emit(database: &Database, at: Timestamp) {
    let id = uuid::Uuid::now_v7();
    let event = EntityEvent::at(id, at, EventKind::Custom, "T", 1, json!({}));
    database.store.emit(event).await.unwrap();
}

#[tokio::test]
async fn days_ahead_have_partitions_and_commits_use_them() {
    let database = Database::fresh().await;
    assert_eq!(partitions(&database, "observer_events").await, 9, "eight days, and the default");
    assert_eq!(partitions(&database, "tb_observer_log").await, 9);
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1)").await;
    emit(&database, at(0)).await;
    database.settle().await;
    assert_eq!(database.ask("SELECT count(*)::text FROM observer_events_default").await.unwrap(), "1");
    assert_eq!(database.events().await.len(), 2);
    purge(&database, at(0)).await;
    assert_eq!(partitions(&database, "observer_events").await, 9, "made once");
}

#[tokio::test]
async fn a_day_is_dropped_as_a_whole_when_nothing_of_it_is_live() {
    let database = Database::fresh().await;
    past_days(&database).await;
    emit(&database, at(1)).await;
    emit(&database, at(2).plus(DAY)).await;
    database.settle().await;
    database.sql("INSERT INTO observer_inbox (seq) SELECT seq FROM observer_events").await;
    // The end of the first day, but its event is to be matched again.
    purge(&database, at(0).plus(DAY)).await;
    assert_eq!((partitions(&database, "observer_events").await, database.events().await.len()), (11, 2));
    let request = TakeRequest {
        host: HostId::random(),
        limit: 10,
        max_bytes: usize::MAX,
        own: 10,
        own_bytes: usize::MAX,
        now: at(3),
    };
    database.store.take(request, Arc::new(Nobody)).await.unwrap();
    purge(&database, at(86_399)).await;
    assert_eq!(partitions(&database, "observer_events").await, 11, "the day has not ended by then");
    purge(&database, at(0).plus(DAY)).await;
    assert_eq!(partitions(&database, "observer_events").await, 10);
    assert_eq!(database.events().await.len(), 1, "the other day's event stays");
}

#[tokio::test]
async fn a_day_with_a_live_delivery_stays() {
    let database = Database::fresh().await;
    past_days(&database).await;
    emit(&database, at(1)).await;
    database.settle().await;
    database
        .sql(
            "INSERT INTO observer_deliveries (id, event_seq, event_at, event_id, position, observer, action, action_type,
                 state, priority, attempts, max_attempts, next_attempt_at, created_at)
             SELECT gen_random_uuid(), seq, occurred_at, id, 0, 'o', 'a', 'webhook', 'waiting', 100, 1, 3, now(), now()
             FROM observer_events",
        )
        .await;
    purge(&database, at(0).plus(DAY * 3)).await;
    assert_eq!(partitions(&database, "observer_events").await, 10, "only the empty day went");
    let claimed =
        database.store.claim(ClaimRequest::new(HostId::random(), 1, SystemClock.now())).await.unwrap();
    assert_eq!(claimed.len(), 1, "its event is there");
}

/// A transaction that has written events is waited for shortly, then the day stays until the next time.
#[tokio::test]
async fn retention_does_not_wait_for_an_open_transaction() {
    let database = Database::fresh().await;
    past_days(&database).await;
    let mut writer = database.connect().await;
    execute(&mut writer, "BEGIN; INSERT INTO observer_events (entity_type) VALUES ('T')").await.unwrap();
    purge(&database, at(0).plus(DAY * 3)).await;
    assert_eq!(partitions(&database, "observer_events").await, 11);
    execute(&mut writer, "COMMIT").await.unwrap();
    purge(&database, at(0).plus(DAY * 3)).await;
    assert_eq!(partitions(&database, "observer_events").await, 9);
}

#[tokio::test]
async fn a_seq_alone_is_enough_to_have_an_event_matched_again() {
    let database = Database::fresh().await;
    emit(&database, at(1)).await;
    database.settle().await;
    database.sql("INSERT INTO observer_inbox (seq) SELECT seq FROM observer_events").await;
    database.sql("INSERT INTO observer_inbox (seq) VALUES (4711)").await;
    let request = TakeRequest {
        host: HostId::random(),
        limit: 10,
        max_bytes: usize::MAX,
        own: 10,
        own_bytes: usize::MAX,
        now: at(3),
    };
    let taken = database.store.take(request, Arc::new(Nobody)).await.unwrap();
    assert_eq!((taken.events, taken.quarantined.len()), (1, 1));
    assert!(taken.quarantined[0].1.contains("no such event"), "{:?}", taken.quarantined);
}
