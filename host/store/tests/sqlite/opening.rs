//! What a person sees who opens the wrong file, or the right one at the wrong time.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use aftercommit_store::{
    Events as _, HostId, Hosts as _, Schema as _, SqliteOptions, SqliteStore, StoreError,
    conformance::TestDatabase as _,
};
use rusqlite::Connection;

use crate::database::{Database, at};

/// The error, its text, and whether it says what it should.
async fn assert_unreachable(path: &std::path::Path, hint: &str) {
    let error =
        SqliteStore::open(&format!("sqlite:{}", path.display()), SqliteOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. } | StoreError::Missing { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(hint) && text.contains(&path.display().to_string()),
        "`{text}` does not say `{hint}`"
    );
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    assert_unreachable(&folder.path().join("missing.db"), "no such file").await;
    assert_unreachable(&folder.path().join("nowhere/shop.db"), "there is no folder").await;
    assert_unreachable(folder.path(), "is a directory").await;
    assert_unreachable(&file("short.db", b"hello"), "not an SQLite database").await;
    assert_unreachable(&file("text.db", &[b'x'; 4096]), "not an SQLite database").await;
    assert!(!folder.path().join("missing.db").exists(), "nothing was made");
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_named() {
    let database = Database::fresh().await;
    let path = database.path();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    // Whoever may do anything is not stopped by permissions.
    if std::fs::File::options().write(true).open(&path).is_err() {
        assert_unreachable(&path, "opened for reading and writing").await;
    }
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let database = Database::fresh().await;
    let path = database.path();
    database.store.close().await;
    drop(database.try_sql("PRAGMA wal_checkpoint(TRUNCATE)").await);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..4000].fill(0xAA);
    let damaged = database.folder.path().join("damaged.db");
    std::fs::write(&damaged, bytes).unwrap();
    let url = format!("sqlite:{}", damaged.display());
    let text = match SqliteStore::open(&url, SqliteOptions::default()).await {
        Ok(store) => store.check_schema().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("damaged"), "{text}");
}

#[tokio::test]
async fn the_schemas_version_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/shop.db", folder.path().display());
    let options = SqliteOptions { create: true, ..SqliteOptions::default() };
    let store = SqliteStore::open(&url, options).await.unwrap();
    assert!(matches!(store.check_schema().await, Err(StoreError::NotMigrated { found: 0, .. })));
    let applied = store.migrate().await.unwrap();
    assert!(applied[0].version == 1 && applied.is_sorted_by(|one, next| one.version < next.version));
    store.check_schema().await.unwrap();
    let database = Database::fresh().await;
    database.sql("INSERT INTO observer_migrations (version, name) VALUES (999, 'tomorrow')").await;
    assert!(matches!(database.store.check_schema().await, Err(StoreError::SchemaNewer { found: 999, .. })));
    assert!(matches!(database.store.migrate().await, Err(StoreError::SchemaNewer { found: 999, .. })));
}

#[tokio::test]
async fn a_database_in_utf16_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/shop.db", folder.path().display());
    let options = SqliteOptions { create: true, ..SqliteOptions::default() };
    SqliteStore::open(&url, options).await.unwrap().close().await;
    std::fs::remove_file(folder.path().join("shop.db")).unwrap();
    std::fs::write(folder.path().join("shop.db"), b"").unwrap();
    let application = Connection::open(folder.path().join("shop.db")).unwrap();
    application.execute_batch("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a)").unwrap();
    let error = SqliteStore::open(&url, SqliteOptions::default()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused(why) if why.contains("UTF-16le")), "{error}");
}

#[tokio::test]
async fn a_locked_database_is_a_passing_error() {
    let database = Database::fresh().await;
    let options = SqliteOptions { busy_timeout: Duration::from_millis(5), ..SqliteOptions::default() };
    let store = SqliteStore::open(&database.url(), options).await.unwrap();
    database.sql("BEGIN IMMEDIATE").await;
    let error = store.register(HostId::random(), "box", at(0)).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }) && error.is_transient(), "{error:?}");
    store.inbox_len().await.expect("reading goes on");
    database.sql("COMMIT").await;
    store.register(HostId::random(), "box", at(0)).await.unwrap();
}
