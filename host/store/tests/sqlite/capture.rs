//! What SQLite's own kinds of tables and statements make of captures.

use aftercommit_core::EventKind;
use aftercommit_store::{
    CaptureRequest, Captures as _, Selection, StoreError, conformance::TestDatabase as _,
};

use crate::database::{Database, at};

async fn kinds(database: &Database) -> Vec<(EventKind, String)> {
    database.events().await.into_iter().map(|event| (event.event_kind, event.entity_id)).collect()
}

fn expected(events: &[(EventKind, &str)]) -> Vec<(EventKind, String)> {
    events.iter().map(|&(kind, id)| (kind, id.to_owned())).collect()
}

#[tokio::test]
async fn the_application_does_not_notice() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t (id, n) VALUES (41, 1), (42, 1)").await;
    assert_eq!(database.ask("SELECT CAST(last_insert_rowid() AS TEXT)").await.as_deref(), Some("42"));
    assert_eq!(database.ask("SELECT CAST(changes() AS TEXT)").await.as_deref(), Some("2"));
    database.sql("UPDATE t SET id = id + 100").await;
    assert_eq!(database.ask("SELECT CAST(last_insert_rowid() AS TEXT)").await.as_deref(), Some("42"));
    assert_eq!(database.ask("SELECT CAST(changes() AS TEXT)").await.as_deref(), Some("2"));
    let returned = database.ask("INSERT INTO t (n) VALUES (5) RETURNING CAST(id AS TEXT)").await;
    assert_eq!(returned.as_deref(), Some("143"));
}

#[tokio::test]
async fn event_ids_are_uuids_in_the_order_of_time() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    for id in 1..=20 {
        database.sql(&format!("INSERT INTO t VALUES ({id})")).await;
    }
    for event in database.events().await {
        assert_eq!(event.id.get_version_num(), 7);
        let (seconds, nanos) = event.id.get_timestamp().unwrap().to_unix();
        let millis = i64::try_from(seconds * 1000 + u64::from(nanos) / 1_000_000).unwrap();
        assert_eq!(millis, event.occurred_at.as_millis(), "{}", event.id);
    }
}

#[tokio::test]
async fn times_tell_which_of_two_changes_is_newer() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)").await;
    database.capture("t", "T").await;
    let changes = "UPDATE t SET n = n + 1;".repeat(300);
    database.sql(&format!("BEGIN; INSERT INTO t VALUES (1, 0); {changes} UPDATE t SET id = 2; COMMIT")).await;
    let times: Vec<_> = database.events().await.iter().map(|event| event.occurred_at).collect();
    assert_eq!(times.len(), 303);
    let (rekeyed, others) = times.split_last().unwrap();
    assert!(others.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
    assert_eq!(others.last(), Some(rekeyed), "a changed key is one change");
}

#[tokio::test]
async fn without_rowid_and_composite_keys() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (a TEXT, b REAL, c BLOB, PRIMARY KEY (a, b, c)) WITHOUT ROWID").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES ('x', 0.1, x'0f'); DELETE FROM t").await;
    let id = "x:0.1:0F";
    assert_eq!(kinds(&database).await, expected(&[(EventKind::Created, id), (EventKind::Deleted, id)]));
}

#[tokio::test]
async fn a_replaced_row_is_seen_as_created() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, 1); REPLACE INTO t VALUES (1, 2)").await;
    assert_eq!(kinds(&database).await, expected(&[(EventKind::Created, "1"), (EventKind::Created, "1")]));
    database.sql("PRAGMA recursive_triggers = ON; REPLACE INTO t VALUES (1, 3)").await;
    let all = [EventKind::Created, EventKind::Created, EventKind::Deleted, EventKind::Created]
        .map(|kind| (kind, "1"));
    assert_eq!(kinds(&database).await, expected(&all));
}

#[tokio::test]
async fn rows_that_foreign_keys_delete_are_captured() {
    let database = Database::fresh().await;
    database
        .sql(
            "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY);
             CREATE TABLE part (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE)",
        )
        .await;
    database.capture("part", "Part").await;
    database.sql("INSERT INTO t VALUES (1); INSERT INTO part VALUES (7, 1); DELETE FROM t").await;
    assert_eq!(kinds(&database).await, expected(&[(EventKind::Created, "7"), (EventKind::Deleted, "7")]));
}

#[tokio::test]
async fn a_captured_column_is_dropped_between_remove_and_add() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)").await;
    database.capture("t", "T").await;
    let error = database.try_sql("ALTER TABLE t DROP COLUMN b").await.unwrap_err();
    assert!(error.contains("aftercommit_t_"), "{error}");
    database.store.remove_capture("t").await.unwrap();
    database.sql("ALTER TABLE t DROP COLUMN b").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, 2)").await;
    assert_eq!(database.images().await, [serde_json::json!({"id": 1, "a": 2})]);
}

#[tokio::test]
async fn a_change_of_case_is_a_change() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, name TEXT COLLATE NOCASE)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES ('a', 'x'); UPDATE t SET name = 'X'; UPDATE t SET id = 'A'").await;
    let all = [
        (EventKind::Created, "a"),
        (EventKind::Updated, "a"),
        (EventKind::Deleted, "a"),
        (EventKind::Created, "A"),
    ];
    assert_eq!(kinds(&database).await, expected(&all));
}

#[tokio::test]
async fn names_are_found_as_sqlite_finds_them() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE Orders (Id INTEGER PRIMARY KEY)").await;
    let request = CaptureRequest { key: vec!["ID".into()], ..CaptureRequest::new("main.ORDERS", "Order") };
    let capture = database.store.add_capture(request, at(0)).await.unwrap();
    assert_eq!((capture.table.as_str(), &capture.key[..]), ("Orders", &["Id".to_owned()][..]));
    database.store.remove_capture("oRDERS").await.unwrap();
    let left = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'aftercommit%'";
    assert_eq!(database.ask(left).await, None, "no trigger is left");
}

#[tokio::test]
async fn virtual_tables_are_refused() {
    let database = Database::fresh().await;
    database.sql("CREATE VIRTUAL TABLE notes USING fts5 (body)").await;
    for table in ["notes", "notes_content", "sqlite_schema"] {
        let request = CaptureRequest { key: vec!["id".into()], ..CaptureRequest::new(table, "Note") };
        let error = database.store.add_capture(request, at(0)).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{table}: {error}");
    }
}

#[tokio::test]
async fn drift_of_triggers_and_names_is_reported() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    let drift = async || database.store.captures().await.unwrap()[0].drift.clone().unwrap_or_default();
    database.sql("DROP TRIGGER aftercommit_t_update").await;
    assert!(drift().await.contains("aftercommit_t_update is missing"), "{}", drift().await);
    database.sql("CREATE TRIGGER aftercommit_t_update AFTER UPDATE ON t BEGIN SELECT 1; END").await;
    assert!(drift().await.contains("aftercommit_t_update was changed"), "{}", drift().await);
    database.capture("t", "T").await;
    assert_eq!(drift().await, "");
    let request = CaptureRequest {
        selection: Selection::Exclude(vec!["secret".into()]),
        ..CaptureRequest::new("t", "T")
    };
    database.sql("ALTER TABLE t ADD secret TEXT").await;
    database.store.add_capture(request, at(0)).await.unwrap();
    database.sql("ALTER TABLE t RENAME TO u").await;
    let renamed = "is now named `u`; run `aftercommit capture remove t`, then `aftercommit capture add u --entity T --key id --exclude secret`";
    assert!(drift().await.contains(renamed), "{}", drift().await);
    database.store.remove_capture("t").await.unwrap();
    database.capture("u", "T").await;
    database.sql("INSERT INTO u (id) VALUES (1)").await;
    assert_eq!(database.events().await.len(), 1);
}

#[tokio::test]
async fn a_careful_application_can_write_too() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL)").await;
    database.capture("t", "T").await;
    database
        .sql("PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON")
        .await;
    database.sql("INSERT OR IGNORE INTO t VALUES (1, 0.5); INSERT OR ABORT INTO t VALUES (2, 1)").await;
    database.sql("UPDATE OR REPLACE t SET id = 2 WHERE id = 1").await;
    assert_eq!(database.events().await.last().unwrap().entity_id, "2");
}
