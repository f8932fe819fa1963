//! Views and triggers that captures share: made with the first, dropped with the last, and whole after a restore.

use aftercommit_store::{
    CaptureRequest, Captures as _, Schema as _, StoreError, conformance::TestDatabase as _,
};
use rusqlite::Connection;

use crate::database::{Database, at, told};

const SHARED: &str = "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema
    WHERE name LIKE 'observer\\_row\\_%' ESCAPE '\\' OR name LIKE 'observer\\_update\\_%' ESCAPE '\\' ORDER BY name)";
const OF_8: &str = "observer_row_8 observer_row_8_write observer_update_8 observer_update_8_write";

/// The views before this were each table's own, as version 10 of the schema had them.
const VERSION_10: [(&str, &str); 10] = [
    ("tables", include_str!("../../../../migrations/sqlite/0001_tables.sql")),
    ("triggers", include_str!("../../../../migrations/sqlite/0002_triggers.sql")),
    ("views", include_str!("../../../../migrations/sqlite/0003_views.sql")),
    ("capture", include_str!("../../../../migrations/sqlite/0004_capture.sql")),
    ("losses", include_str!("../../../../migrations/sqlite/0005_losses.sql")),
    ("waits", include_str!("../../../../migrations/sqlite/0006_waits.sql")),
    ("disabled", include_str!("../../../../migrations/sqlite/0007_disabled.sql")),
    ("host_revision", include_str!("../../../../migrations/sqlite/0008_host_revision.sql")),
    ("runs", include_str!("../../../../migrations/sqlite/0009_runs.sql")),
    ("rates", include_str!("../../../../migrations/sqlite/0010_rates.sql")),
];

#[tokio::test]
async fn they_come_with_the_first_capture_and_go_with_the_last() {
    let database = Database::fresh().await;
    let many: Vec<_> = (0..8).map(|n| format!("c{n}")).collect();
    database
        .sql(&format!(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, n); CREATE TABLE b (id TEXT PRIMARY KEY);
             CREATE TABLE wide (id INTEGER PRIMARY KEY, {})",
            many.join(", ")
        ))
        .await;
    assert_eq!(database.ask(SHARED).await, None);
    database.capture("a", "A").await;
    database.capture("b", "B").await;
    assert_eq!(database.ask(SHARED).await.as_deref(), Some(OF_8));
    database.capture("wide", "Wide").await;
    assert_eq!(database.ask(SHARED).await.unwrap().split(' ').count(), 8, "of another width");
    database.store.remove_capture("wide").await.unwrap();
    database.store.remove_capture("a").await.unwrap();
    assert_eq!(database.ask(SHARED).await.as_deref(), Some(OF_8), "one capture needs them");
    database.sql("INSERT INTO b VALUES ('x'); UPDATE b SET id = 'y'").await;
    assert_eq!(
        told(&database).await,
        [r#"created x {"id":"x"}"#, r#"deleted x {"id":"x"}"#, r#"created y {"id":"y"}"#]
    );
    // A table that grows beyond a width.
    let columns: Vec<_> = (0..8).map(|n| format!("ALTER TABLE b ADD COLUMN c{n}")).collect();
    database.sql(&columns.join(";")).await;
    database.store.refresh_capture("b", at(1)).await.unwrap();
    assert!(!database.ask(SHARED).await.unwrap().contains("_8"), "of the wider only");
    database.store.remove_capture("b").await.unwrap();
    assert_eq!(database.ask(SHARED).await, None);
}

#[tokio::test]
async fn one_that_was_changed_is_reported_and_mended() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY)").await;
    database.capture("a", "A").await;
    database.capture("b", "B").await;
    let drift = async || {
        let statuses = database.store.captures().await.unwrap();
        statuses.into_iter().map(|status| status.drift.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(drift().await, ["", ""]);
    for harm in [
        "DROP VIEW observer_row_8",
        "DROP TRIGGER observer_update_8_write",
        "DROP TRIGGER observer_row_8_write; CREATE TRIGGER observer_row_8_write INSTEAD OF INSERT ON observer_row_8 BEGIN SELECT 1; END",
    ] {
        database.sql(harm).await;
        assert!(
            drift()
                .await
                .iter()
                .all(|drift| drift.contains("observer_") && drift.contains("capture refresh")),
            "{harm}"
        );
        database.store.refresh_capture("b", at(1)).await.unwrap();
        assert_eq!(drift().await, ["", ""], "{harm}");
    }
    database.sql("INSERT INTO a VALUES (1); UPDATE a SET id = 2").await;
    assert_eq!(database.events().await.len(), 3);
}

#[tokio::test]
async fn what_another_made_is_left_alone() {
    for theirs in ["CREATE TABLE observer_row_8 (a)", "CREATE VIEW observer_update_8 AS SELECT 1 AS a"] {
        let database = Database::fresh().await;
        database.sql("CREATE TABLE a (id INTEGER PRIMARY KEY)").await;
        database.sql(theirs).await;
        let error = database.store.add_capture(CaptureRequest::new("a", "A"), at(0)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.contains("_8` already")), "{error}");
        assert!(database.store.captures().await.unwrap().is_empty());
        database.sql("INSERT INTO a VALUES (1)").await;
    }
}

/// As the shell's `.dump` writes them: tables, then all else in the order in which it was made.
#[tokio::test]
async fn a_schema_that_was_restored_from_a_dump_captures() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE a (id INTEGER PRIMARY KEY, n); CREATE TABLE b (id INTEGER PRIMARY KEY)").await;
    database.capture("b", "B").await;
    database.capture("a", "A").await;
    database.sql("DROP VIEW observer_update_8").await;
    database.store.refresh_capture("a", at(1)).await.unwrap();
    let application = Connection::open(database.path()).unwrap();
    let restored = Connection::open_in_memory().unwrap();
    for which in ["= 'table' AND name NOT LIKE 'sqlite%'", "<> 'table'"] {
        let query =
            format!("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND type {which} ORDER BY rowid");
        let mut statement = application.prepare(&query).unwrap();
        let texts = statement.query_map((), |row| row.get::<_, String>(0)).unwrap();
        for text in texts {
            restored.execute_batch(&text.unwrap()).unwrap();
        }
    }
    restored.execute_batch("INSERT INTO a VALUES (1, 1); UPDATE a SET n = 2; DELETE FROM a").unwrap();
    let mut statement =
        restored.prepare("SELECT event_kind || ' ' || data FROM observer_inbox ORDER BY seq").unwrap();
    let rows: Vec<String> = statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let expected = [
        r#"created $"id" "n" =1,1,,,,,,"#,
        r#"updated $"id" "n" =1,2,,,,,,"#,
        r#"deleted $"id" "n" =1,2,,,,,,"#,
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn captures_of_version_10_go_on_and_share_after_the_migration() {
    let database = Database::empty().await;
    database
        .sql(
            "CREATE TABLE observer_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL DEFAULT 'then');
             CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); CREATE TABLE u (id INTEGER PRIMARY KEY, n INT)",
        )
        .await;
    for (n, (name, sql)) in VERSION_10.into_iter().enumerate() {
        database.sql(sql).await;
        database
            .sql(&format!("INSERT INTO observer_migrations (version, name) VALUES ({}, '{name}')", n + 1))
            .await;
    }
    let application = Connection::open(database.path()).unwrap();
    for table in ["t", "u"] {
        let mut triggers = serde_json::Map::new();
        for text in include_str!("version_10.sql").replace("TABLE", table).split_terminator("\n\n") {
            application.execute_batch(text).unwrap();
            let name = text.split('"').nth(1).unwrap();
            triggers.insert(name.to_owned(), text.trim_end().into());
        }
        let triggers = serde_json::Value::from(triggers).to_string();
        application
            .execute(
                "INSERT INTO observer_captures (table_name, entity_type, key, columns, notify, triggers, created_at)
                 VALUES (?1, ?1, '[\"id\"]', '[\"id\",\"n\"]', 1, ?2, ?3)",
                [table, &triggers, &at(0).to_string()],
            )
            .unwrap();
    }
    database.sql("ALTER TABLE u RENAME TO moved; INSERT INTO t VALUES (1, 1); UPDATE t SET n = 2").await;
    let applied = database.store.migrate().await.unwrap();
    assert_eq!(applied[0].version, 13);
    database.sql("INSERT INTO moved VALUES (7, 7); UPDATE moved SET n = 8; DELETE FROM t").await;
    assert_eq!(
        told(&database).await,
        [
            r#"created 1 {"id":1,"n":1}"#,
            r#"updated 1 {"id":1,"n":2} was {"id":1,"n":1}"#,
            r#"created 7 {"id":7,"n":7}"#,
            r#"updated 7 {"id":7,"n":8} was {"id":7,"n":7}"#,
            r#"deleted 1 {"id":1,"n":2}"#,
        ]
    );
    let statuses = database.store.captures().await.unwrap();
    assert_eq!(statuses[0].drift, None, "renewed");
    assert!(statuses[1].drift.as_ref().unwrap().contains("now named `moved`"), "{:?}", statuses[1].drift);
    assert_eq!(database.ask(SHARED).await.as_deref(), Some(OF_8));
    let own = "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name LIKE 'aftercommit%'";
    assert_eq!(database.ask(own).await.as_deref(), Some("1"), "of the table that could not be renewed");
    database.store.remove_capture("u").await.unwrap();
    assert_eq!(database.ask(own).await.as_deref(), Some("0"));
}
