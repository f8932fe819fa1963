//! A database that was dumped and restored: its captures go on, and a refresh brings back their speed.

use std::process::Command;

use aftercommit_store::{
    CaptureRequest, Captures as _, ChangeLogRequest, PostgresOptions, Schema as _, Selection,
    conformance::TestDatabase as _,
};

use crate::database::{CLUSTER, Database, at};

/// Own types, whose numbers are others after a restore; tables of all shapes.
const TABLES: &str =
    "CREATE SCHEMA shop; CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TYPE pair AS (a INTEGER, m mood);
    CREATE DOMAIN word AS TEXT CHECK (VALUE <> '');
    CREATE TABLE t (id INTEGER PRIMARY KEY, m mood, p pair, w word, n NUMERIC, secret TEXT);
    CREATE TABLE shop.t (id INTEGER PRIMARY KEY, ms mood[]);
    CREATE TABLE part (id INTEGER, region INTEGER, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE north PARTITION OF part FOR VALUES IN (1);
    CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree ON DELETE CASCADE);
    CREATE TABLE log (object_type TEXT, object_id TEXT, modification_type TEXT, object_data JSONB)";

const CHANGES: &str =
    "INSERT INTO t VALUES (1, 'glad', '(1,sad)', 'a', 2, 'hidden'), (2, 'sad', NULL, 'b', 0, 'hidden');
    UPDATE t SET n = 2.00 WHERE id = 1; UPDATE t SET id = 3 WHERE id = 1;
    INSERT INTO shop.t VALUES (1, '{sad,NULL}'); INSERT INTO part VALUES (1, 1);
    INSERT INTO tree VALUES (1, NULL), (2, 1); DELETE FROM tree WHERE id = 1;
    INSERT INTO log VALUES ('T', '9', 'INSERT', '{}'); DELETE FROM t; DELETE FROM shop.t; DELETE FROM part";

/// Kinds and images of what is in the inbox, which is empty afterwards.
async fn events(database: &Database) -> Vec<String> {
    let texts = "SELECT string_agg(concat_ws(' ', entity_type, event_kind, entity_id, data, problem), E'\\n' ORDER BY place, seq) FROM observer_inbox";
    let events = database.ask(texts).await.unwrap_or_default();
    database.sql("DELETE FROM observer_inbox").await;
    events.lines().map(str::to_owned).collect()
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.output().expect("the programs of PostgreSQL");
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { Ok(()) } else { Err(errors) }
}

#[tokio::test]
async fn captures_go_on_in_a_restored_database() {
    let database = Database::fresh().await;
    database.sql(TABLES).await;
    let request = CaptureRequest {
        condition: Some("n > 1 OR OLD.n > 1".into()),
        selection: Selection::Exclude(vec!["secret".into()]),
        ..CaptureRequest::new("t", "T")
    };
    database.store.add_capture(request, at(0)).await.unwrap();
    for (table, entity_type) in [("shop.t", "T"), ("part", "Part"), ("tree", "Tree")] {
        database.capture(table, entity_type).await;
    }
    let log =
        ChangeLogRequest { table: "log".into(), columns: std::collections::BTreeMap::new(), notify: true };
    database.store.add_change_log(log, at(0)).await.unwrap();
    database.sql("ALTER TABLE t ENABLE ALWAYS TRIGGER \"!aftercommit_insert\"").await;
    database.sql(CHANGES).await;
    let expected = events(&database).await;
    assert_eq!(expected.len(), 13, "{expected:#?}");
    database.sql("INSERT INTO shop.t VALUES (7, '{sad}')").await;

    let file = tempfile::NamedTempFile::new().unwrap();
    let dumped =
        run(CLUSTER.program("pg_dump").args(["-Fc", "-f"]).arg(file.path()).arg("-d").arg(database.url()));
    if dumped.as_ref().is_err_and(|error| error.contains("server version mismatch")) {
        eprintln!("pg_dump is older than the server: this test checks nothing");
        return;
    }
    dumped.unwrap();
    let restored = Database::empty(PostgresOptions::default()).await;
    run(CLUSTER.program("pg_restore").args(["--exit-on-error", "-d"]).arg(restored.url()).arg(file.path()))
        .unwrap();

    assert!(restored.store.migrate().await.unwrap().is_empty());
    assert_eq!(events(&restored).await, [r#"T created 7 {"id" : 7, "ms" : ["sad"]}"#]);
    restored.sql("DELETE FROM shop.t").await;
    assert_eq!(events(&restored).await.len(), 1);
    restored.sql(CHANGES).await;
    assert_eq!(events(&restored).await, expected);
    for status in restored.store.captures().await.unwrap() {
        let table = status.capture.table.as_str();
        let has_own_types = ["t", "shop.t"].contains(&table);
        assert_eq!(
            status.drift.is_some_and(|drift| drift.contains("capture refresh")),
            has_own_types,
            "{table}"
        );
        restored.store.refresh_capture(table, at(0)).await.unwrap();
    }
    assert!(restored.store.captures().await.unwrap().iter().all(|status| status.drift.is_none()));
    restored.sql(CHANGES).await;
    assert_eq!(events(&restored).await, expected);
    let enabled = "SELECT tgenabled::text FROM pg_trigger WHERE tgname = '!aftercommit_insert' AND tgrelid = 't'::regclass";
    assert_eq!(restored.ask(enabled).await.as_deref(), Some("A"));
}
