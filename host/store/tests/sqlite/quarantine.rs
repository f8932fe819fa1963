//! Rows that could not become events keep all that was captured of them.

use aftercommit_store::{
    Quarantine as _, Retention as _, RetentionLimits, StoreError, conformance::TestDatabase as _,
};

use crate::database::{Database, at, take, told};

/// A captured table with `code` as the key, and one row without.
async fn database() -> Database {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT)").await;
    let request = aftercommit_store::CaptureRequest {
        key: vec!["code".into()],
        ..aftercommit_store::CaptureRequest::new("t", "T")
    };
    aftercommit_store::Captures::add_capture(&database.store, request, at(0)).await.unwrap();
    database.sql("INSERT INTO t VALUES (1, NULL)").await;
    assert_eq!(take(&database).await.quarantined.len(), 1);
    database
}

#[tokio::test]
async fn a_row_is_shown_kept_retried_and_discarded() {
    let database = database().await;
    let store = &database.store;
    let id = store.quarantined(10).await.unwrap()[0].id;
    let image = store.quarantined_row(id).await.unwrap();
    assert_eq!(
        (image.event_kind.as_deref(), image.data.as_deref()),
        (Some("created"), Some(r#"{"id":1,"code":null}"#))
    );
    assert_eq!(database.ask("SELECT count(*) FROM observer_events").await.as_deref(), Some("0"));
    let limits = RetentionLimits { events_before: at(1_000_000), log_before: at(1_000_000), batch: 10 };
    store.purge(limits).await.unwrap();
    assert_eq!(store.quarantined(10).await.unwrap().len(), 1, "retention leaves it");

    assert_eq!(store.retry_quarantined(vec![id]).await.unwrap(), [id]);
    assert_eq!(store.quarantined(10).await.unwrap().len(), 0);
    assert_eq!(take(&database).await.quarantined.len(), 1, "it still is no event");
    let again = store.quarantined(10).await.unwrap();
    assert_eq!(again[0].event_id, image.row.event_id, "it keeps its id");

    let error = store.require_quarantined(&[again[0].id, 999]).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert_eq!(store.discard_quarantined(vec![again[0].id, 999]).await.unwrap(), 1, "the other is not there");
    assert!(matches!(store.quarantined_row(again[0].id).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_row_that_was_mended_becomes_an_event() {
    let database = database().await;
    database.sql("UPDATE observer_quarantine SET entity_id = 'mended'").await;
    let mut put_back = Vec::new();
    database.store.retry_all_quarantined(&mut |ids| put_back.extend_from_slice(ids)).await.unwrap();
    assert_eq!(put_back.len(), 1);
    assert_eq!(take(&database).await.events, 1);
    assert_eq!(told(&database).await, [r#"created mended {"id":1,"code":null}"#]);
}
