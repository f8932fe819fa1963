//! Events follow the changes: whatever the application's own triggers do to a row, `created` is its first event, and the
//! last one has the row as it is in the table.

use aftercommit_store::conformance::TestDatabase as _;

use crate::database::{Database, take, told};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)";

/// Runs it with the trigger made before the capture, and after it; both tell the same, also once they were taken.
async fn assert_told(trigger: &str, statements: &str, expected: &[&str]) {
    for before in [true, false] {
        let database = Database::fresh().await;
        database.sql(TABLE).await;
        if before {
            database.sql(trigger).await;
        }
        database.capture("t", "T").await;
        if !before {
            database.sql(trigger).await;
        }
        database.sql(statements).await;
        assert_eq!(told(&database).await, expected, "trigger made before the capture: {before}");
        let taken = take(&database).await;
        assert_eq!((taken.events, taken.quarantined.len()), (expected.len(), 0));
        assert_eq!(told(&database).await, expected, "taken; trigger made before the capture: {before}");
        assert_eq!(database.ask("SELECT count(*) FROM observer_inbox").await.as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn a_trigger_updates_the_row_that_was_inserted() {
    assert_told(
        "CREATE TRIGGER own AFTER INSERT ON t BEGIN UPDATE t SET n = n + 1 WHERE id = NEW.id; END",
        "INSERT INTO t VALUES (1, 10), (2, 20)",
        &[
            r#"created 1 {"id":1,"n":10}"#,
            r#"updated 1 {"id":1,"n":11} was {"id":1,"n":10}"#,
            r#"created 2 {"id":2,"n":20}"#,
            r#"updated 2 {"id":2,"n":21} was {"id":2,"n":20}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_trigger_deletes_the_row_that_was_inserted() {
    assert_told(
        "CREATE TRIGGER own AFTER INSERT ON t BEGIN DELETE FROM t WHERE id = NEW.id; END",
        "INSERT INTO t (n) VALUES (10)",
        &[r#"created 1 {"id":1,"n":10}"#, r#"deleted 1 {"id":1,"n":10}"#],
    )
    .await;
}

#[tokio::test]
async fn a_trigger_updates_the_row_that_was_updated() {
    assert_told(
        "CREATE TRIGGER own AFTER UPDATE ON t WHEN NEW.n < 100 BEGIN UPDATE t SET n = n + 100 WHERE id = NEW.id; END",
        "INSERT INTO t VALUES (1, 1), (2, 2); UPDATE t SET n = n + 10; UPDATE t SET n = n",
        &[
            r#"created 1 {"id":1,"n":1}"#,
            r#"created 2 {"id":2,"n":2}"#,
            r#"updated 1 {"id":1,"n":11} was {"id":1,"n":1}"#,
            r#"updated 1 {"id":1,"n":111} was {"id":1,"n":11}"#,
            r#"updated 2 {"id":2,"n":12} was {"id":2,"n":2}"#,
            r#"updated 2 {"id":2,"n":112} was {"id":2,"n":12}"#,
        ],
    )
    .await;
}

/// The place of an update that changed nothing must not be left for the statement around it.
#[tokio::test]
async fn a_trigger_updates_without_a_change() {
    assert_told(
        "CREATE TRIGGER own AFTER UPDATE ON t WHEN NEW.n < 100 BEGIN
             UPDATE t SET n = n + 100 WHERE id = NEW.id; UPDATE t SET n = n; UPDATE t SET id = id WHERE id = 2; END",
        "INSERT INTO t VALUES (1, 1), (2, 2); UPDATE t SET n = n + 10 WHERE id = 1; UPDATE t SET n = n WHERE id = 1",
        &[
            r#"created 1 {"id":1,"n":1}"#,
            r#"created 2 {"id":2,"n":2}"#,
            r#"updated 1 {"id":1,"n":11} was {"id":1,"n":1}"#,
            r#"updated 1 {"id":1,"n":111} was {"id":1,"n":11}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn updates_without_a_change_leave_nothing_behind() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n, a TEXT COLLATE NOCASE)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, 1, 'a'), (2, NULL, NULL), (3, x'00', '')").await;
    take(&database).await;
    database
        .sql("UPDATE t SET n = n, a = a; UPDATE t SET id = id; REPLACE INTO t SELECT * FROM t WHERE 0")
        .await;
    assert_eq!(database.ask("SELECT count(*) FROM observer_inbox").await.as_deref(), Some("0"));
    assert_eq!(database.ask("UPDATE t SET n = n RETURNING changes()").await.as_deref(), Some("0"));
    // A value of another type is another value, and so is a letter in another case.
    database.sql("UPDATE t SET n = '1' WHERE id = 1; UPDATE t SET a = 'A' WHERE id = 1; UPDATE t SET n = 0 WHERE id = 2").await;
    assert_eq!(
        told(&database).await[3..],
        [
            r#"updated 1 {"id":1,"n":"1","a":"a"} was {"id":1,"n":1,"a":"a"}"#,
            r#"updated 1 {"id":1,"n":"1","a":"A"} was {"id":1,"n":"1","a":"a"}"#,
            r#"updated 2 {"id":2,"n":0,"a":null} was {"id":2,"n":null,"a":null}"#,
        ]
    );
}

#[tokio::test]
async fn a_trigger_changes_the_key_that_was_changed_and_deletes_the_row() {
    assert_told(
        "CREATE TRIGGER own AFTER UPDATE OF id ON t BEGIN DELETE FROM t WHERE id = NEW.id; END",
        "INSERT INTO t VALUES (1, 1); UPDATE t SET id = 2",
        &[
            r#"created 1 {"id":1,"n":1}"#,
            r#"deleted 1 {"id":1,"n":1}"#,
            r#"created 2 {"id":2,"n":1}"#,
            r#"deleted 2 {"id":2,"n":1}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_trigger_inserts_the_row_that_was_deleted_again() {
    assert_told(
        "CREATE TRIGGER own AFTER DELETE ON t BEGIN INSERT INTO t VALUES (OLD.id, OLD.n + 1); END",
        "INSERT INTO t VALUES (1, 1); DELETE FROM t",
        &[r#"created 1 {"id":1,"n":1}"#, r#"deleted 1 {"id":1,"n":1}"#, r#"created 1 {"id":1,"n":2}"#],
    )
    .await;
}

#[tokio::test]
async fn a_trigger_ignores_rows() {
    assert_told(
        "CREATE TRIGGER own BEFORE INSERT ON t WHEN NEW.n < 0 BEGIN SELECT RAISE(IGNORE); END",
        "INSERT INTO t VALUES (1, 1), (2, -1), (3, 3); INSERT OR IGNORE INTO t VALUES (3, 4), (4, 4);
         INSERT INTO t VALUES (4, 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
        &[
            r#"created 1 {"id":1,"n":1}"#,
            r#"created 3 {"id":3,"n":3}"#,
            r#"created 4 {"id":4,"n":4}"#,
            r#"updated 4 {"id":4,"n":5} was {"id":4,"n":4}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn with_recursive_triggers_a_replaced_row_is_deleted_first() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE)").await;
    database.capture("t", "T").await;
    database.sql("PRAGMA recursive_triggers = ON; INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')").await;
    take(&database).await;
    database.sql("REPLACE INTO t VALUES (1, 'x'); UPDATE OR REPLACE t SET id = 2 WHERE id = 1").await;
    assert_eq!(
        told(&database).await[3..],
        [
            r#"deleted 1 {"id":1,"code":"a"}"#,
            r#"created 1 {"id":1,"code":"x"}"#,
            r#"deleted 2 {"id":2,"code":"b"}"#,
            r#"deleted 1 {"id":1,"code":"x"}"#,
            r#"created 2 {"id":2,"code":"x"}"#,
        ]
    );
    // Another row than that of the key makes room.
    database
        .sql("INSERT OR REPLACE INTO t VALUES (4, 'c'); UPDATE OR REPLACE t SET code = 'c' WHERE id = 2")
        .await;
    let mut kinds: Vec<_> = told(&database).await.into_iter().skip(8).collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            r#"created 4 {"id":4,"code":"c"}"#,
            r#"deleted 3 {"id":3,"code":"c"}"#,
            r#"deleted 4 {"id":4,"code":"c"}"#,
            r#"updated 2 {"id":2,"code":"c"} was {"id":2,"code":"x"}"#,
        ]
    );
}

#[tokio::test]
async fn cascades_are_told_once_and_in_order() {
    for recursive in ["OFF", "ON"] {
        let database = Database::fresh().await;
        database
            .sql(&format!(
                "PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = {recursive};
                 CREATE TABLE t (id INTEGER PRIMARY KEY, up REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
                 CREATE TABLE note (id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE SET NULL)"
            ))
            .await;
        database.capture("t", "T").await;
        database.capture("note", "Note").await;
        database.sql("INSERT INTO t VALUES (1, NULL), (2, 1); INSERT INTO note VALUES (7, 2); DELETE FROM t WHERE id = 1").await;
        assert_eq!(
            told(&database).await[3..],
            [
                r#"deleted 1 {"id":1,"up":null}"#,
                r#"deleted 2 {"id":2,"up":1}"#,
                r#"updated 7 {"id":7,"t":null} was {"id":7,"t":2}"#,
            ],
            "recursive_triggers = {recursive}"
        );
        // A row that refers to itself.
        database.sql("INSERT INTO t VALUES (5, 5); UPDATE t SET id = 6").await;
        let told = told(&database).await;
        assert!(told.last().unwrap().ends_with(r#" 6 {"id":6,"up":6} was {"id":6,"up":5}"#), "{told:?}");
    }
}
