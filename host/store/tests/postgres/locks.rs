//! What hosts wait for can be held by nobody else.

use aftercommit_core::{EntityEvent, EventKind};
use aftercommit_store::{
    ClaimRequest, Claims as _, DeadLetters as _, Definitions as _, End, Events as _, HostId, PostgresOptions,
    Retention as _, RetentionLimits, Schema as _, conformance::TestDatabase as _,
};
use sqlx::{Connection as _, PgConnection};

use crate::{
    database::{CLUSTER, Database, at, execute},
    hosts::{end, take},
};

/// The tables that are locked, and no other.
const LOCKS: [&str; 3] = ["observer_lock_replays", "observer_lock_takes", "observer_lock_keys"];

/// A role that may connect, and, as it is in many databases, has rights on all that is made later.
async fn intruder(database: &Database) -> PgConnection {
    let role = format!("intruder_of_{}", database.name);
    database
        .sql(&format!(
            "CREATE ROLE {role} LOGIN; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role};
             ALTER DEFAULT PRIVILEGES GRANT SELECT, UPDATE ON TABLES TO PUBLIC"
        ))
        .await;
    PgConnection::connect(&CLUSTER.url_as(&role, &database.name)).await.unwrap()
}

/// The locks of earlier versions, which were advisory: those with a number, and the one of an event's id.
#[tokio::test]
async fn whoever_holds_all_advisory_locks_holds_up_nothing() {
    let database = Database::empty(PostgresOptions::default()).await;
    let mut intruder = intruder(&database).await;
    let emitted = EntityEvent::new(EventKind::Custom, "Order", "1", serde_json::json!({}));
    let hold = format!(
        "BEGIN; SELECT count(pg_advisory_lock(1634104419, n)) FROM generate_series(0, 511) AS n;
         SELECT pg_advisory_lock(hashtextextended('{}', 1634104419))",
        emitted.id
    );
    execute(&mut intruder, &hold).await.unwrap();
    let (store, host) = (&database.store, HostId::random());
    store.migrate().await.unwrap();
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO tb_observer (name) VALUES ('watcher')").await;
    database.capture("t", "T").await;
    store.emit(emitted).await.unwrap();
    database.sql("INSERT INTO t VALUES (1, 1)").await;
    let first = take(store, host, 10, Some("key")).await.owned.remove(0);
    let dead = End::Dead { action: serde_json::json!({"type": "webhook"}) };
    store.complete(host, vec![end(first.id, 1, dead)]).await.unwrap();
    assert_eq!(store.replay(vec![first.id], at(1)).await.unwrap().len(), 1);
    store.set_enabled("watcher", false, at(1)).await.unwrap();
    store.set_enabled("watcher", true, at(1)).await.unwrap();
    assert_eq!(store.claim(ClaimRequest::new(host, 10, at(2))).await.unwrap().len(), 1);
    let limits = RetentionLimits { events_before: at(0), log_before: at(0), batch: 10 };
    store.purge(limits).await.unwrap();
    assert_eq!(store.inbox_len().await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_else_can_lock_what_hosts_lock() {
    let database = Database::empty(PostgresOptions::default()).await;
    let mut intruder = intruder(&database).await;
    database.store.migrate().await.unwrap();
    for table in LOCKS {
        for attempt in [
            format!("LOCK TABLE {table} IN ACCESS SHARE MODE"),
            format!("LOCK TABLE {table} IN EXCLUSIVE MODE"),
            format!("SELECT 1 FROM {table} FOR UPDATE"),
            format!("SELECT 1 FROM {table} FOR KEY SHARE"),
            format!("DELETE FROM {table}"),
        ] {
            let refused = execute(&mut intruder, &format!("BEGIN; {attempt}")).await.unwrap_err();
            execute(&mut intruder, "ROLLBACK").await.unwrap();
            assert!(refused.contains("permission denied"), "{attempt}: {refused}");
        }
    }
    // What it may read it can lock in a way that is in nobody's way.
    let mut reader = database.connect().await;
    execute(&mut reader, "BEGIN; LOCK TABLE observer_migrations IN ACCESS SHARE MODE").await.unwrap();
    database.store.migrate().await.unwrap();
}
