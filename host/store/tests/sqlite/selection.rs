//! Which columns leave a table, and how keys are written.

use aftercommit_store::{CaptureRequest, Captures as _, Selection, conformance::TestDatabase as _};

use crate::database::{Database, at, told};

async fn capture(database: &Database, selection: Selection) -> Result<Vec<String>, String> {
    let request = CaptureRequest { selection, ..CaptureRequest::new("t", "T") };
    database
        .store
        .add_capture(request, at(0))
        .await
        .map(|capture| capture.columns)
        .map_err(|error| error.to_string())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn columns_that_are_left_out_never_leave_the_table() {
    for selection in [Selection::Exclude(names(&["SECRET"])), Selection::Only(names(&["id", "n"]))] {
        let database = Database::fresh().await;
        database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, secret TEXT)").await;
        assert_eq!(capture(&database, selection.clone()).await.unwrap(), ["id", "n"]);
        database.sql("INSERT INTO t VALUES (1, 1, 'hush'); UPDATE t SET secret = 'still'; UPDATE t SET n = 2, secret = 'x'").await;
        database.sql("DELETE FROM t").await;
        assert_eq!(
            told(&database).await,
            [
                r#"created 1 {"id":1,"n":1}"#,
                r#"updated 1 {"id":1,"n":2} was {"id":1,"n":1}"#,
                r#"deleted 1 {"id":1,"n":2}"#
            ]
        );
        let status = &database.store.captures().await.unwrap()[0];
        assert_eq!((&status.capture.selection, &status.drift), (&selection, &None));
    }
}

#[tokio::test]
async fn columns_that_come_later_are_captured_unless_some_were_named() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, secret TEXT)").await;
    capture(&database, Selection::Exclude(names(&["secret"]))).await.unwrap();
    database.sql("ALTER TABLE t ADD COLUMN late TEXT").await;
    assert_eq!(database.store.refresh_capture("t", at(5)).await.unwrap().columns, ["id", "n", "late"]);
    capture(&database, Selection::Only(names(&["id"]))).await.unwrap();
    assert_eq!(database.store.captures().await.unwrap()[0].drift, None);
    assert_eq!(database.store.refresh_capture("t", at(5)).await.unwrap().columns, ["id"]);
}

#[tokio::test]
async fn a_selection_that_can_not_be_is_refused() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)").await;
    for (selection, hint) in [
        (Selection::Exclude(names(&["id"])), "take it out of `--exclude`"),
        (Selection::Only(names(&["id", "colour"])), "no column `colour`"),
    ] {
        let error = capture(&database, selection).await.unwrap_err();
        assert!(error.contains(hint), "`{error}` does not say `{hint}`");
    }
    let request = CaptureRequest { condition: Some("colour = 'x'".into()), ..CaptureRequest::new("t", "T") };
    let error = database.store.add_capture(request, at(0)).await.unwrap_err().to_string();
    assert!(error.contains("colour") && error.contains("--when"), "{error}");
    capture(&database, Selection::Only(names(&["n"]))).await.unwrap();
    assert_eq!(database.store.captures().await.unwrap()[0].capture.columns, ["id", "n"], "the key always is");
}

#[tokio::test]
async fn keys_that_differ_have_ids_that_differ() {
    let database = Database::fresh().await;
    database
        .sql(r"CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a, b)); CREATE TABLE one (id TEXT PRIMARY KEY)")
        .await;
    database.capture("t", "T").await;
    database.capture("one", "One").await;
    database
        .sql(
            r"INSERT INTO t VALUES ('a:b', 'c'), ('a', 'b:c'), ('a\', 'b'); INSERT INTO one VALUES ('a:b\c')",
        )
        .await;
    let ids: Vec<_> = database.events().await.into_iter().map(|event| event.entity_id).collect();
    assert_eq!(ids, [r"a\:b:c", r"a:b\:c", r"a\\:b", r"a:b\c"]);
}

#[tokio::test]
async fn keys_of_one_column_are_what_they_hold() {
    for (declared, ids) in [
        ("INTEGER", &["5", "-1"][..]),
        ("INT", &["5", "0.5", "a", "0F"]),
        ("TEXT", &["5", "0.1", "a", "0F"]),
        ("REAL", &["5.0", "0.1", "a", "0F", "3.3333333333333335", "1.0e+22"]),
        ("BLOB", &["5", "0.1", "a", "0F", "3.3333333333333335", "1.0e+22"]),
        ("UUID", &["5", "0.1", "a", "0F", "3.3333333333333335", "1.0e+22"]),
        ("", &["5", "0.1", "a", "0F", "3.3333333333333335", "1.0e+22"]),
    ] {
        let database = Database::fresh().await;
        database.sql(&format!("CREATE TABLE t (n INT, id {declared} PRIMARY KEY)")).await;
        database.capture("t", "T").await;
        let value = |id: &&str| match *id {
            "a" => "'a'".to_owned(),
            "0F" => "x'0f'".to_owned(),
            "3.3333333333333335" => "10.0 / 3".to_owned(),
            number => number.to_owned(),
        };
        for value in ids.iter().map(value) {
            database.sql(&format!("INSERT INTO t (id) VALUES ({value})")).await;
        }
        database.sql("UPDATE t SET n = 1; DELETE FROM t").await;
        let found: Vec<_> = database.events().await.into_iter().map(|event| event.entity_id).collect();
        assert_eq!(found.len(), 3 * ids.len(), "{declared}");
        assert_eq!(found[..ids.len()], *ids, "{declared}");
        let mut rest: Vec<_> = found[ids.len()..].to_vec();
        rest.sort();
        rest.dedup();
        let mut expected = ids.to_vec();
        expected.sort_unstable();
        assert_eq!(rest, expected, "{declared}");
    }
}
