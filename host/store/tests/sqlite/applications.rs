//! Applications bring their own SQLite, in which our triggers run: the program that `AFTERCOMMIT_TEST_SQLITE` names stands for
//! one of them, or else the shell of this machine.

use std::process::Command;

use aftercommit_store::{CaptureRequest, Captures as _, Selection, conformance::TestDatabase as _};

use crate::database::{Database, at};

/// Runs a script as an application does that takes care. Returns whether there is a program to run it with.
fn run(database: &Database, script: &str) -> bool {
    let chosen = std::env::var_os("AFTERCOMMIT_TEST_SQLITE");
    let mut program = Command::new(chosen.as_deref().unwrap_or("sqlite3".as_ref()));
    let script = format!("PRAGMA trusted_schema = OFF; PRAGMA recursive_triggers = ON; {script}");
    let Ok(done) = program.arg(database.path()).arg(script).output() else {
        assert!(chosen.is_none(), "{program:?} does not start");
        eprintln!("there is no sqlite3 shell on this machine; nothing was checked");
        return false;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    true
}

#[tokio::test]
async fn images_are_made() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, flag BOOLEAN, doc JSON)").await;
    database.capture("t", "T").await;
    database
        .sql("CREATE TRIGGER own AFTER INSERT ON t WHEN NEW.id = 2 BEGIN DELETE FROM t WHERE id = 2; END")
        .await;
    let script =
        r#"INSERT INTO t VALUES (1, 0.1, 1, '{"a":1}'), (2, 1e999, 0, NULL); UPDATE t SET r = 1.0 / 3"#;
    if !run(&database, script) {
        return;
    }
    let texts: Vec<_> = database.images().await.iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], r#"{"id":1,"r":0.1,"flag":true,"doc":{"a":1}}"#);
    assert_eq!(texts[1], r#"{"id":2,"r":null,"flag":false,"doc":null}"#);
    assert_eq!(texts[2], texts[1], "deleted by a trigger");
    assert_eq!(texts[3], r#"{"id":1,"r":0.3333333333333333,"flag":true,"doc":{"a":1}}"#);
    assert_eq!(texts.len(), 4);
}

#[tokio::test]
async fn all_kinds_of_tables_and_statements_are_captured() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC, b BLOB, x TEXT, g TEXT GENERATED ALWAYS AS (x || '!') STORED, secret TEXT);
             CREATE TABLE w (a TEXT, b INTEGER, v TEXT COLLATE NOCASE, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE TABLE s (id INTEGER PRIMARY KEY, n ANY) STRICT",
        )
        .await;
    let request = CaptureRequest {
        selection: Selection::Exclude(vec!["secret".into()]),
        ..CaptureRequest::new("t", "T")
    };
    database.store.add_capture(request, at(0)).await.unwrap();
    database.capture("w", "W").await;
    database.capture("s", "S").await;
    let script = "INSERT INTO t (id, n, b, x) VALUES (1, 1.5, x'00ff', 'é'), (2, 9223372036854775807, NULL, NULL);
        UPDATE t SET x = 'it''s' WHERE id = 1; UPDATE t SET secret = 'x'; UPDATE t SET id = 3 WHERE id = 1; REPLACE INTO t (id, n) VALUES (2, 5);
        INSERT INTO t (id, n) VALUES (3, 9) ON CONFLICT (id) DO UPDATE SET n = excluded.n; INSERT OR IGNORE INTO t (id) VALUES (3);
        DELETE FROM t WHERE id = 3 RETURNING id;
        INSERT INTO w VALUES ('a:b', 7, 'v'); UPDATE w SET v = 'V'; UPDATE w SET b = 8; DELETE FROM w;
        BEGIN; UPDATE observer_context SET actor = 'ana'; INSERT INTO s VALUES (1, 'text'); UPDATE s SET n = 1; COMMIT; DELETE FROM s";
    if !run(&database, script) {
        return;
    }
    let events = database.events().await;
    let kinds: Vec<_> = events
        .iter()
        .map(|event| format!("{} {} {}", event.entity_type, event.event_kind, event.entity_id))
        .collect();
    assert_eq!(
        kinds,
        [
            "T created 1",
            "T created 2",
            "T updated 1",
            "T deleted 1",
            "T created 3",
            "T deleted 2",
            "T created 2",
            "T updated 3",
            "T deleted 3",
            r"W created a\:b:7",
            r"W updated a\:b:7",
            r"W deleted a\:b:7",
            r"W created a\:b:8",
            r"W deleted a\:b:8",
            "S created 1",
            "S updated 1",
            "S deleted 1",
        ]
    );
    assert_eq!(events[1].data.to_string(), r#"{"id":2,"n":9223372036854775807,"b":null,"x":null,"g":null}"#);
    assert_eq!(events[14].actor.as_deref(), Some("ana"));
    assert_eq!(events[2].data["g"], "it's!");
}

#[tokio::test]
async fn conditions_are_evaluated() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, status TEXT, total NUMERIC, at TEXT)").await;
    let condition = "status LIKE 'a%' AND total > 10 OR CHANGED(at) OR at > '2026-01-01T00:00:00Z' OR EVENT.actor = 'ana' \
        OR status IN ('x', 'y') OR status CONTAINS 'é' OR total BETWEEN 3 AND 4";
    let request = CaptureRequest { condition: Some(condition.into()), ..CaptureRequest::new("t", "T") };
    database.store.add_capture(request, at(0)).await.unwrap();
    let script = "INSERT INTO t VALUES (1, 'abc', 11, NULL), (2, 'abc', 1, NULL), (3, 'x', 1, NULL), (4, 'q', 1, '2026-02-01T00:00:00+01:00'),
            (5, 'é', 1, NULL), (6, 'z', 3.5, NULL), (7, 'z', 1, NULL), (8, 'q', 1, '2026-01-01T00:30:00+01:00');
        BEGIN; UPDATE observer_context SET actor = 'ana'; INSERT INTO t VALUES (9, 'z', 1, NULL); COMMIT; UPDATE t SET at = '2025' WHERE id = 7";
    if !run(&database, script) {
        return;
    }
    let ids: Vec<_> = database.events().await.into_iter().map(|event| event.entity_id).collect();
    assert_eq!(ids, ["1", "3", "4", "5", "6", "9", "7"]);
}
