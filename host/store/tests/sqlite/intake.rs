//! What only SQLite's intake does: sizes are read before rows, and a row that fails is found.

use std::sync::Arc;

use aftercommit_core::{DeliveryId, EntityEvent};
use aftercommit_store::{
    ClaimRequest, Claims as _, Events as _, HostId, Intake as _, NewDelivery, Plan, Planned, Quarantine as _,
    TakeRequest, conformance::TestDatabase as _,
};

use crate::database::{Database, at, take, take_bytes, told};

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

/// Every event goes to one observer.
struct Everyone;

impl Plan for Everyone {
    fn plan(&self, event: &EntityEvent) -> Planned {
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

#[tokio::test]
async fn owns_and_claims_no_more_bytes_than_it_may() {
    let database = database().await;
    database
        .sql("INSERT INTO t VALUES (1, printf('%.*c', 5000, 'x')), (2, 'small'), (3, 'small'), (4, printf('%.*c', 900, 'x'))")
        .await;
    let host = HostId::random();
    let request = TakeRequest { host, limit: 10, max_bytes: usize::MAX, own: 10, own_bytes: 100, now: at(0) };
    let taken = database.store.take(request, Arc::new(Everyone)).await.unwrap();
    let image = r#"{"id":1,"body":""}"#.len();
    let sizes: Vec<_> = taken.owned.iter().map(|delivery| delivery.event_bytes).collect();
    assert_eq!((sizes, taken.ready), (vec![image + 5000], 3), "the first is owned however large it is");
    let claim = async || -> Vec<_> {
        let request = ClaimRequest { max_bytes: 100, ..ClaimRequest::new(host, 10, at(1)) };
        let claimed = database.store.claim(request).await.unwrap();
        claimed.iter().map(|delivery| (delivery.event.entity_id.clone(), delivery.event_bytes)).collect()
    };
    assert_eq!(claim().await, [("2".to_owned(), image + 5), ("3".to_owned(), image + 5)]);
    assert_eq!(claim().await, [("4".to_owned(), image + 900)], "a larger one is claimed alone");
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
