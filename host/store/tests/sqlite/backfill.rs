//! Existing rows become events, page by page.

use aftercommit_core::EventKind;
use aftercommit_store::{BackfillRequest, Backfills as _, StoreError, conformance::TestDatabase as _};

use crate::database::{Database, at, told};

fn request(kind: EventKind) -> BackfillRequest {
    BackfillRequest { table: "t".into(), condition: None, kind, restart: false }
}

#[tokio::test]
async fn goes_on_behind_the_last_page_and_ends() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (a TEXT, b INT, r REAL, PRIMARY KEY (a, b)) WITHOUT ROWID").await;
    database.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) INSERT INTO t SELECT 'it''s ' || (i / 100), i, i / 4.0 FROM n").await;
    database.capture("t", "T").await;
    let store = &database.store;
    store.start_backfill(request(EventKind::Created), at(1)).await.unwrap();
    let first = store.backfill_page("t", 100, at(2)).await.unwrap();
    assert_eq!(
        (first.rows, first.events, first.last.as_deref(), first.finished_at),
        (100, 100, Some("it's 1:100"), None)
    );
    let resumed = store.start_backfill(request(EventKind::Created), at(3)).await.unwrap();
    assert_eq!((resumed.rows, resumed.started_at), (100, at(1)));
    let error = store.start_backfill(request(EventKind::Custom), at(3)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused(why) if why.contains("--restart")), "{error}");
    let second = store.backfill_page("t", 100, at(4)).await.unwrap();
    assert_eq!((second.rows, second.finished_at), (150, Some(at(4))));
    assert_eq!(store.backfill_page("t", 100, at(5)).await.unwrap(), second, "it has ended");
    let events = told(&database).await;
    assert_eq!(events.len(), 150);
    assert_eq!(events[0], r#"created it's 0:1 {"a":"it's 0","b":1,"r":0.25}"#);
    assert_eq!(events[149], r#"created it's 1:150 {"a":"it's 1","b":150,"r":37.5}"#);
}

#[tokio::test]
async fn events_can_be_custom_and_begin_anew() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.sql("INSERT INTO t VALUES (1), (2)").await;
    database.capture("t", "T").await;
    let store = &database.store;
    let error = store.backfill_page("t", 10, at(0)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    for round in 1..=2 {
        store
            .start_backfill(BackfillRequest { restart: true, ..request(EventKind::Custom) }, at(round))
            .await
            .unwrap();
        assert_eq!(store.backfill_page("t", 10, at(round)).await.unwrap().events, 2);
    }
    let all = [r#"custom 1 {"id":1}"#, r#"custom 2 {"id":2}"#];
    assert_eq!(told(&database).await, [all, all].concat());
}
