//! What no longer fits a table is reported with the command that mends it.

use aftercommit_store::{Captures as _, StoreError, conformance::TestDatabase as _};

use crate::database::{Database, at};

#[tokio::test]
async fn a_table_that_was_built_anew_is_captured_again_by_a_refresh() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)").await;
    database.capture("t", "T").await;
    database
        .sql(
            "PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE new_t (id INTEGER PRIMARY KEY, n INT NOT NULL, extra TEXT);
             INSERT INTO new_t (id, n) SELECT id, n FROM t; DROP TABLE t; ALTER TABLE new_t RENAME TO t; COMMIT",
        )
        .await;
    let drift = database.store.captures().await.unwrap()[0].drift.clone().unwrap();
    assert!(
        drift.contains("lost its triggers") && drift.contains("aftercommit capture refresh t"),
        "{drift}"
    );
    assert!(drift.contains("not captured: extra"), "{drift}");
    database.store.refresh_capture("t", at(7)).await.unwrap();
    assert_eq!(database.store.captures().await.unwrap()[0].drift, None);
    database.sql("INSERT INTO t VALUES (1, 2, 'x')").await;
    assert_eq!(database.images().await, [serde_json::json!({"id": 1, "n": 2, "extra": "x"})]);
}

#[tokio::test]
async fn a_file_that_was_replaced_or_deleted_is_noticed() {
    let database = Database::fresh().await;
    database.store.check_file().unwrap();
    let aside = database.folder.path().join("aside.db");
    std::fs::rename(database.path(), &aside).unwrap();
    for (file, why) in [(None, "deleted"), (Some(()), "another file")] {
        if file.is_some() {
            std::fs::copy(&aside, database.path()).unwrap();
        }
        let error = database.store.captures().await.unwrap_err();
        assert!(matches!(error, StoreError::FileReplaced { .. }) && !error.is_transient(), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
}
