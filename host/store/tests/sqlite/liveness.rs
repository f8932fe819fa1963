//! A host that died is taken over at once, and leaves no file behind.

use std::time::Duration;

use aftercommit_store::{HostId, Hosts as _, SqliteOptions, SqliteStore};

use crate::database::{Database, at};

const LEASE: Duration = Duration::from_secs(30);

fn files(database: &Database) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(database.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("-host-"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_dead_host_is_taken_over_before_its_lease_ends() {
    let database = Database::fresh().await;
    let (lively, dead) = (HostId::random(), HostId::random());
    database.store.register(lively, "lively", at(0)).await.unwrap();
    let other = SqliteStore::open(&database.url(), SqliteOptions::default()).await.unwrap();
    other.register(dead, "dead", at(0)).await.unwrap();
    assert_eq!(files(&database).len(), 2);
    assert!(
        database.store.take_over(at(1), at(1).minus(LEASE)..=at(1)).await.unwrap().hosts.is_empty(),
        "both live"
    );
    // The end of a process is the end of its open files.
    drop(other);
    assert_eq!(database.store.take_over(at(1), at(1).minus(LEASE)..=at(1)).await.unwrap().hosts, [dead]);
    assert_eq!(files(&database), [format!("shop.db-host-{lively}")]);
    database.store.retire(lively).await.unwrap();
    assert!(files(&database).is_empty());
}

#[tokio::test]
async fn a_host_that_hangs_is_taken_over_by_its_lease() {
    let database = Database::fresh().await;
    let (lively, hanging) = (HostId::random(), HostId::random());
    database.store.register(lively, "lively", at(0)).await.unwrap();
    let other = SqliteStore::open(&database.url(), SqliteOptions::default()).await.unwrap();
    other.register(hanging, "hanging", at(0)).await.unwrap();
    database.store.heartbeat(lively, at(60)).await.unwrap();
    assert_eq!(
        database.store.take_over(at(60), at(60).minus(LEASE)..=at(60)).await.unwrap().hosts,
        [hanging]
    );
    other.register(hanging, "hanging", at(61)).await.unwrap();
    assert!(
        database.store.take_over(at(61), at(61).minus(LEASE)..=at(61)).await.unwrap().hosts.is_empty(),
        "it shows that it lives again"
    );
    assert_eq!(files(&database).len(), 2);
}

#[tokio::test]
async fn a_file_without_a_host_is_removed() {
    let database = Database::fresh().await;
    let (host, gone) = (HostId::random(), HostId::random());
    std::fs::write(database.folder.path().join(format!("shop.db-host-{gone}")), b"").unwrap();
    std::fs::write(database.folder.path().join("shop.db-host-notes"), b"not ours").unwrap();
    database.store.register(host, "box", at(0)).await.unwrap();
    assert_eq!(files(&database), [format!("shop.db-host-{host}"), "shop.db-host-notes".to_owned()]);
}
