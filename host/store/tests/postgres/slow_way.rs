//! Rows of a table that was changed since its functions were generated, and rows of which no image can be made: the
//! condition of the capture holds for them too, and a value that is only written differently is no change.

use aftercommit_store::{CaptureRequest, Captures as _, conformance::TestDatabase as _};

use crate::database::{Database, at, execute};

async fn capture_when(database: &Database, condition: &str) {
    let request = CaptureRequest { condition: Some(condition.into()), ..CaptureRequest::new("t", "T") };
    database.store.add_capture(request, at(0)).await.unwrap();
}

/// What is in the inbox, which is empty afterwards.
async fn inbox(database: &Database) -> String {
    let query = "SELECT string_agg(concat_ws(' ', event_kind, entity_id, left(problem, 30)), ', ' ORDER BY place, seq) FROM observer_inbox";
    let inbox = database.ask(query).await.unwrap_or_default();
    database.sql("DELETE FROM observer_inbox").await;
    inbox
}

/// Rows that the condition `n > 10` wants, does not want, and wants before or after a change.
const CHANGES: &str = "INSERT INTO t (id, n) VALUES (1, 1), (2, 20), (3, NULL);
    UPDATE t SET n = 2 WHERE id = 1;
    UPDATE t SET n = 30 WHERE id = 1;
    UPDATE t SET n = 3 WHERE id = 1;
    UPDATE t SET id = 4, n = 40 WHERE id = 1;
    UPDATE t SET id = 1, n = 1 WHERE id = 4;
    UPDATE t SET id = 5 WHERE id = 2;
    UPDATE t SET id = 6, n = 6 WHERE id = 5;
    UPDATE t SET id = 7 WHERE id = 6;
    UPDATE t SET n = 70 WHERE id = 7;
    DELETE FROM t";

/// What comes of them.
const WANTED: &str =
    "created 2, updated 1, created 4, deleted 4, deleted 2, created 5, deleted 5, updated 7, deleted 7";

/// Where the condition can not be evaluated, nothing is lost.
const ALL: &str = "created 1, created 2, created 3, updated 1, updated 1, updated 1, deleted 1, created 4, deleted 4, created 1, \
    deleted 2, created 5, deleted 5, created 6, deleted 6, created 7, updated 7, deleted 3, deleted 1, deleted 7";

fn sorted(inbox: &str) -> Vec<&str> {
    let mut events: Vec<&str> = inbox.split(", ").collect();
    events.sort_unstable();
    events
}

/// In the session that has run the functions before and in a fresh one.
async fn assert_both_sessions(database: &Database, expected: &str, change: &str) {
    database.sql(CHANGES).await;
    let of_first = inbox(database).await;
    assert_eq!(sorted(&of_first), sorted(expected), "{change}");
    execute(&mut database.connect().await, CHANGES).await.unwrap();
    let of_second = inbox(database).await;
    assert_eq!(of_second, of_first, "{change}");
}

#[tokio::test]
async fn a_condition_holds_when_other_columns_change() {
    for change in [
        "ALTER TABLE t ALTER other TYPE BIGINT",
        "ALTER TABLE t RENAME other TO another",
        "ALTER TABLE t DROP other",
        "ALTER TABLE t DROP other; ALTER TABLE t ADD other TEXT",
    ] {
        let database = Database::fresh().await;
        database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, other INTEGER)").await;
        capture_when(&database, "n > 10").await;
        assert_both_sessions(&database, WANTED, "no change").await;
        database.sql(change).await;
        assert_both_sessions(&database, WANTED, change).await;
        database.store.refresh_capture("t", at(0)).await.unwrap();
        assert_both_sessions(&database, WANTED, "refreshed").await;
    }
}

#[tokio::test]
async fn a_condition_whose_own_columns_change_loses_nothing() {
    for change in [
        "ALTER TABLE t ALTER n TYPE TEXT",
        "ALTER TABLE t RENAME n TO m; ALTER TABLE t ADD n TEXT",
        "ALTER TABLE t DROP n; ALTER TABLE t ADD n BIGINT",
    ] {
        let database = Database::fresh().await;
        database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
        capture_when(&database, "n > 10").await;
        assert_both_sessions(&database, WANTED, "no change").await;
        database.sql(change).await;
        assert_both_sessions(&database, ALL, change).await;
        // The condition that is there now, or none.
        let drift = database.drift().await;
        assert!(drift.contains("capture refresh t") || drift.contains("does not fit"), "{drift}");
    }
    // The key, as the condition reads it; and a column that is gone.
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, gone INTEGER)").await;
    capture_when(&database, "EVENT.entity_id = '2' OR gone = 1").await;
    let insert = "INSERT INTO t (id) VALUES (1), (2), (3); DELETE FROM t";
    database.sql(insert).await;
    assert_eq!(inbox(&database).await, "created 2, deleted 2");
    database.sql("ALTER TABLE t ALTER n TYPE TEXT").await;
    database.sql(insert).await;
    assert_eq!(inbox(&database).await, "created 2, deleted 2");
    let all = "created 1, created 2, created 3, deleted 1, deleted 2, deleted 3";
    database.sql("ALTER TABLE t ALTER id TYPE BIGINT").await;
    database.sql(insert).await;
    assert_eq!(inbox(&database).await, all);
    database.sql("ALTER TABLE t ALTER id TYPE INTEGER; ALTER TABLE t DROP gone").await;
    database.sql(insert).await;
    assert_eq!(inbox(&database).await, all);
    let drift = database.drift().await;
    assert!(drift.contains("the table has no column gone"), "{drift}");
    assert!(
        drift.ends_with("run `aftercommit capture add t --entity T --key id --when CONDITION`"),
        "{drift}"
    );
    let refused = database.store.refresh_capture("t", at(0)).await.unwrap_err().to_string();
    assert!(refused.contains("no column gone") && refused.contains("--when"), "{refused}");
    capture_when(&database, "EVENT.entity_id = '2'").await;
    assert_eq!(database.drift().await, "");
}

#[tokio::test]
async fn a_condition_holds_for_rows_that_are_too_large() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, large TEXT, unread TEXT)").await;
    let request = CaptureRequest {
        condition: Some("n > 10 OR unread = 'x'".into()),
        selection: aftercommit_store::Selection::Exclude(vec!["unread".into()]),
        ..CaptureRequest::new("t", "T")
    };
    database.store.add_capture(request, at(0)).await.unwrap();
    database
        .sql(
            "INSERT INTO t VALUES (1, 1, repeat('x', 64 << 20)), (2, 20, repeat('x', 64 << 20));
             UPDATE t SET n = 2 WHERE id = 1; UPDATE t SET n = 10 + id; UPDATE t SET id = 3, n = 0 WHERE id = 2; DELETE FROM t",
        )
        .await;
    let too_large = "the row has 64 MiB or more";
    let kinds = ["created 2", "updated 2", "updated 1", "deleted 2", "deleted 1"];
    let expected = kinds.map(|kind| format!("{kind} {too_large}")).join(", ");
    assert_eq!(inbox(&database).await, expected);
    // A value of that size is not read for the condition either; the image does not have it.
    database.sql("INSERT INTO t VALUES (5, 1, 'small', repeat('x', 64 << 20)); DELETE FROM t").await;
    assert_eq!(inbox(&database).await, "created 5, deleted 5");
}

/// A type whose output function fails, as those of extensions can.
const UNWRITABLE: &str = "CREATE TYPE unwritable;
    CREATE FUNCTION unwritable_in(cstring) RETURNS unwritable LANGUAGE internal IMMUTABLE STRICT AS 'textin';
    CREATE FUNCTION unwritable_out(unwritable) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'anyelement_out';
    CREATE TYPE unwritable (INPUT = unwritable_in, OUTPUT = unwritable_out, LIKE = text)";

#[tokio::test]
async fn a_condition_holds_for_rows_of_which_no_image_can_be_made() {
    let database = Database::fresh().await;
    database.sql(UNWRITABLE).await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, w unwritable DEFAULT 'x')").await;
    capture_when(&database, "n > 10").await;
    database.sql(CHANGES).await;
    let problem = " cannot display a value of type";
    let expected = WANTED.split(", ").map(|kind| format!("{kind}{problem}")).collect::<Vec<_>>().join(", ");
    assert_eq!(inbox(&database).await, expected);
    // Together with a change of the table, and of the condition's column.
    database.sql("ALTER TABLE t ADD later INTEGER; ALTER TABLE t ALTER n TYPE BIGINT").await;
    database.sql(CHANGES).await;
    let all = inbox(&database).await;
    assert_eq!(all.matches(problem).count(), ALL.split(", ").count(), "{all}");
}

#[tokio::test]
async fn a_key_that_can_not_be_written_is_put_aside_with_the_reason() {
    let database = Database::fresh().await;
    database.sql(UNWRITABLE).await;
    database.sql("CREATE TABLE t (id unwritable, n INTEGER)").await;
    let request = CaptureRequest {
        key: vec!["id".into()],
        condition: Some("n > 10".into()),
        ..CaptureRequest::new("t", "T")
    };
    database.store.add_capture(request, at(0)).await.unwrap();
    database.sql("INSERT INTO t VALUES ('a', 1), ('b', 20)").await;
    let problem = "cannot display a value of type";
    assert_eq!(inbox(&database).await, format!("created {problem}"));
    // Whether an update changes the key is not known: nothing is lost.
    database.sql("UPDATE t SET n = 2 WHERE n = 1; DELETE FROM t").await;
    assert_eq!(inbox(&database).await, format!("updated {problem}, deleted {problem}"));
}

#[tokio::test]
async fn a_number_that_is_written_differently_is_no_change() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE DOMAIN amount AS NUMERIC; CREATE TYPE mood AS ENUM ('sad', 'glad');
             CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC, j JSONB, ns NUMERIC[], d amount, m mood, \"odd \"\"name\" NUMERIC, x TEXT)",
        )
        .await;
    database.capture("t", "T").await;
    let statements = [
        ("INSERT INTO t VALUES (1, 1, '{\"a\": 1}', '{1,NULL}', 1, 'sad', 1, 'x')", "created 1"),
        (
            "UPDATE t SET n = 1.00, j = '{\"a\": 1.0}', ns = '{1.0,NULL}', d = 1.0, \"odd \"\"name\" = 1.000",
            "",
        ),
        ("UPDATE t SET n = 1, m = 'glad'", "updated 1"),
        ("UPDATE t SET j = '{\"a\": 1.00}', x = 'y'", "updated 1"),
        ("UPDATE t SET n = NULL", "updated 1"),
        ("UPDATE t SET j = '{\"a\": 1}'", ""),
        ("UPDATE t SET n = 1.5, d = 1", "updated 1"),
        ("UPDATE t SET n = 1.50, id = 2", "deleted 1, created 2"),
        ("DELETE FROM t", "deleted 2"),
    ];
    for change in [
        "SELECT 1",
        "ALTER TABLE t ALTER x TYPE VARCHAR(9)",
        "ALTER TABLE t RENAME x TO y; ALTER TABLE t ADD x TEXT",
    ] {
        database.sql(change).await;
        for (statement, expected) in statements {
            database.sql(statement).await;
            assert_eq!(inbox(&database).await, expected, "{change}: {statement}");
        }
    }
    // Nothing but such columns is captured.
    let request = CaptureRequest {
        key: vec!["n".into()],
        selection: aftercommit_store::Selection::Only(vec!["j".into()]),
        ..CaptureRequest::new("t", "T")
    };
    database.store.add_capture(request, at(0)).await.unwrap();
    database.sql("INSERT INTO t (id, n, j) VALUES (1, 1, '1'); ALTER TABLE t ALTER j TYPE JSON; ALTER TABLE t ALTER j TYPE JSONB").await;
    database.sql("ALTER TABLE t ALTER n TYPE NUMERIC(9,2); ALTER TABLE t ALTER n TYPE NUMERIC; UPDATE t SET j = '1.0'").await;
    assert_eq!(inbox(&database).await, "created 1");
}
