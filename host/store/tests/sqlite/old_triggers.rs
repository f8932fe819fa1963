//! A database that version 3 of the schema migrated and captured.

use aftercommit_store::{
    Captures as _, Quarantine as _, Schema as _, SqliteOptions, SqliteStore, conformance::TestDatabase as _,
};
use rusqlite::Connection;

use crate::database::{Database, at, take, told};

const VERSION_3: [&str; 3] = [
    include_str!("../../../../migrations/sqlite/0001_tables.sql"),
    include_str!("../../../../migrations/sqlite/0002_triggers.sql"),
    include_str!("../../../../migrations/sqlite/0003_views.sql"),
];

/// As version 3 wrote it, for the columns `id` and `n`.
fn old_trigger(table: &str) -> String {
    format!(
        r#"CREATE TRIGGER "aftercommit_{table}_insert" AFTER INSERT ON "{table}" BEGIN
  INSERT INTO observer_events (id, entity_type, entity_id, event_kind, occurred_at, data, old)
  VALUES (printf('%08x-%04x-7%03x-%04x-%012x', 26000000, 1, random() & 4095, 32768 | (random() & 16383), random() & 281474976710655),
    '{table}', CAST(NEW."id" AS TEXT), 'created', strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z',
    '{{"id":' || NEW."id" || ',"n":' || coalesce(NEW."n", 'null') || '}}',
    NULL);
  INSERT INTO observer_inbox (seq) VALUES (last_insert_rowid());
END"#
    )
}

/// A database of version 3 with two captured tables, of which the second has another name since, and its store.
async fn version_3() -> Database {
    let database = Database::empty().await;
    let application = Connection::open(database.path()).unwrap();
    for migration in VERSION_3 {
        application.execute_batch(migration).unwrap();
    }
    application
        .execute_batch(
            "CREATE TABLE observer_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,
                 applied_at TEXT NOT NULL DEFAULT 'then');
             INSERT INTO observer_migrations (version, name) VALUES (1, 'tables'), (2, 'triggers'), (3, 'views');
             CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); CREATE TABLE u (id INTEGER PRIMARY KEY, n INT)",
        )
        .unwrap();
    for table in ["t", "u"] {
        let text = old_trigger(table);
        application.execute_batch(&text).unwrap();
        let triggers = serde_json::json!({ format!("aftercommit_{table}_insert"): text }).to_string();
        application
            .execute(
                "INSERT INTO observer_captures VALUES (?1, ?1, '[\"id\"]', '[\"id\",\"n\"]', 1, ?2, ?3)",
                [table, &triggers, &at(0).to_string()],
            )
            .unwrap();
    }
    application.execute_batch("ALTER TABLE u RENAME TO moved").unwrap();
    database
}

#[tokio::test]
async fn what_waits_is_taken_once_in_order_and_triggers_are_renewed() {
    let database = version_3().await;
    database.sql("INSERT INTO t VALUES (1, 1), (2, 2)").await;
    let applied = database.store.migrate().await.unwrap();
    assert_eq!(applied[0].version, 4, "from there on");
    database.sql("INSERT INTO t VALUES (3, 3); UPDATE t SET n = 9 WHERE id = 3").await;
    // The table with another name still has its old trigger.
    database.sql("INSERT INTO moved VALUES (7, 7)").await;
    let expected = [
        r#"created 1 {"id":1,"n":1}"#,
        r#"created 2 {"id":2,"n":2}"#,
        r#"created 7 {"id":7,"n":7}"#,
        r#"created 3 {"id":3,"n":3}"#,
        r#"updated 3 {"id":3,"n":9} was {"id":3,"n":3}"#,
    ];
    assert_eq!(told(&database).await, expected);
    let taken = take(&database).await;
    assert_eq!((taken.events, taken.quarantined.len(), taken.more), (5, 0, false));
    assert_eq!(take(&database).await.events, 0);
    assert_eq!(told(&database).await, expected);
    let statuses = database.store.captures().await.unwrap();
    assert_eq!(statuses[0].drift, None, "renewed");
    assert!(statuses[1].drift.as_ref().unwrap().contains("now named `moved`"), "{:?}", statuses[1].drift);
}

#[tokio::test]
async fn rows_that_were_put_aside_are_shown_and_retried() {
    let database = version_3().await;
    database
        .sql(
            "INSERT INTO observer_events (id, entity_type, event_kind, occurred_at, data)
             VALUES ('01900000-0000-7000-8000-000000000009', 't', 'created', '2026-01-01T00:00:00.000000Z', '{\"n\":1}');
             INSERT INTO observer_quarantine (event_seq, event_id, entity_type, reason, quarantined_at)
             VALUES (1, '01900000-0000-7000-8000-000000000009', 't', 'it has no key', '2026-01-01T00:00:00.000000Z')",
        )
        .await;
    database.store.migrate().await.unwrap();
    let rows = database.store.quarantined(10).await.unwrap();
    assert_eq!(rows[0].reason, "it has no key");
    assert_eq!(database.store.quarantined_row(rows[0].id).await.unwrap().data.as_deref(), Some(r#"{"n":1}"#));
    database.sql("UPDATE observer_events SET entity_id = '5'").await;
    database.store.retry_all_quarantined(&mut |_| ()).await.unwrap();
    assert_eq!(take(&database).await.events, 1);
    assert_eq!(told(&database).await, [r#"created 5 {"n":1}"#]);
}

#[tokio::test]
async fn an_empty_database_is_migrated_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/shop.db", folder.path().display());
    let options = SqliteOptions { create: true, ..SqliteOptions::default() };
    let store = SqliteStore::open(&url, options).await.unwrap();
    assert_eq!(store.migrate().await.unwrap()[0].version, 1, "all of them");
    assert!(store.captures().await.unwrap().is_empty());
}
