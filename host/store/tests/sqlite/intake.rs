//! What only SQLite's intake does: sizes are read before rows, and a row that fails is found.

use aftercommit_store::{Events as _, Quarantine as _, conformance::TestDatabase as _};

use crate::database::{Database, take, take_bytes, told};

async fn database() -> Database {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)").await;
    database.capture("t", "T").await;
    database
}

#[tokio::test]
async fn takes_no_more_bytes_than_it_may() {
    let database = database().await;
    database
        .sql("INSERT INTO t VALUES (1, 'small'), (2, 'small'), (3, printf('%.*c', 5000, 'x')), (4, 'small')")
        .await;
    let mut taken = Vec::new();
    loop {
        let part = take_bytes(&database, 100).await;
        taken.push(part.events);
        if !part.more {
            break;
        }
    }
    assert_eq!(taken, [2, 1, 1], "a larger row is taken alone");
}

#[tokio::test]
async fn a_row_that_fails_is_found_and_put_aside() {
    let database = database().await;
    database
        .sql(
            "CREATE TRIGGER odd BEFORE INSERT ON observer_events WHEN NEW.entity_id = '6'
             BEGIN SELECT RAISE(ABORT, 'scripted: not this one'); END",
        )
        .await;
    for id in 1..=9 {
        database.sql(&format!("INSERT INTO t VALUES ({id}, 'x')")).await;
    }
    let (mut events, mut quarantined) = (0, Vec::new());
    loop {
        let part = take(&database).await;
        events += part.events;
        quarantined.extend(part.quarantined);
        if !part.more {
            break;
        }
    }
    assert_eq!((events, quarantined.len()), (8, 1));
    assert!(quarantined[0].1.contains("not this one"), "{quarantined:?}");
    let rows = database.store.quarantined(10).await.unwrap();
    assert_eq!(
        (rows.len(), rows[0].entity_id.as_deref(), rows[0].event_id.as_str()),
        (1, Some("6"), &*quarantined[0].0.to_string())
    );
    assert_eq!(database.store.inbox_len().await.unwrap(), 0);
}

#[tokio::test]
async fn ids_and_times_stay_when_an_event_is_taken() {
    let database = database().await;
    database.sql("INSERT INTO t VALUES (1, 'x'); UPDATE t SET id = 2; UPDATE t SET body = 'y'").await;
    let waiting = database.events().await;
    for event in &waiting {
        let shown = database.store.event(event.id).await.unwrap();
        assert_eq!((&shown.event, shown.in_inbox), (event, true));
    }
    take(&database).await;
    assert_eq!(database.events().await, waiting);
    for event in &waiting {
        let shown = database.store.event(event.id).await.unwrap();
        assert_eq!((&shown.event, shown.in_inbox), (event, false));
    }
    assert_eq!(told(&database).await.len(), 4);
    let error = database.store.emit(waiting[1].clone()).await.unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
}

#[tokio::test]
async fn numbers_are_never_used_twice() {
    let database = database().await;
    let mut ids = std::collections::HashSet::new();
    for id in 1..=30 {
        database.sql(&format!("INSERT INTO t VALUES ({id}, 'x')")).await;
        assert!(ids.insert(database.events().await.last().unwrap().id));
        take(&database).await;
    }
    assert_eq!(database.events().await.len(), 30);
}
