//! What a person sees who names the wrong server, or the right one at the wrong time.

use std::time::Duration;

use aftercommit_core::ObserverDefinition;
use aftercommit_store::{
    Definitions as _, Events as _, Hold, HoldState, Holds as _, HostId, Hosts as _, Lift, PostgresOptions,
    PostgresStore, Schema as _, StoreError, Target, conformance::TestDatabase as _,
};

use crate::database::{CLUSTER, Database, at, execute, server};

/// Long enough for any machine; what does not come fails.
const GUARD: Duration = Duration::from_secs(30);

async fn assert_unreachable(url: &str, hint: &str) {
    let options = PostgresOptions { connect_timeout: Duration::from_secs(2), ..PostgresOptions::default() };
    let error = PostgresStore::open(url, options).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(hint) && text.contains("postgres://"), "`{text}` does not say `{hint}`");
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    assert_unreachable(&CLUSTER.url("nowhere"), "createdb").await;
    let folder = CLUSTER.folder().display();
    assert_unreachable(&format!("postgres://nobody:s3cret@localhost/postgres?host={folder}"), "the user")
        .await;
    assert_unreachable("postgres://me:s3cret@localhost:1/shop", "refused").await;
}

/// A server that takes connections and never answers.
#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    assert_unreachable(&format!("postgres://me:s3cret@127.0.0.1:{port}/shop"), "did not answer within 2 s")
        .await;
}

#[tokio::test]
async fn the_schemas_version_is_checked() {
    let database = Database::empty(PostgresOptions::default()).await;
    let store = &database.store;
    assert!(matches!(store.check_schema().await, Err(StoreError::NotMigrated { found: 0, .. })));
    let applied = store.migrate().await.unwrap();
    assert!(applied[0].version == 1 && applied.is_sorted_by(|one, next| one.version < next.version));
    store.check_schema().await.unwrap();
    database.sql("INSERT INTO observer_migrations (version, name) VALUES (999, 'tomorrow')").await;
    assert!(matches!(store.check_schema().await, Err(StoreError::SchemaNewer { found: 999, .. })));
    assert!(matches!(store.migrate().await, Err(StoreError::SchemaNewer { found: 999, .. })));
}

/// The schema too is made by one of them.
#[tokio::test]
async fn several_can_migrate_at_once() {
    let options = PostgresOptions { schema: "at once".to_owned(), ..PostgresOptions::default() };
    let database = Database::empty(options).await;
    let mut migrating = Vec::new();
    for _ in 0..4 {
        let store = database.another().await;
        migrating.push(tokio::spawn(async move { store.migrate().await.map(|applied| applied.len()) }));
    }
    let mut applied = 0;
    for migration in migrating {
        applied += migration.await.unwrap().unwrap();
    }
    let versions = database.ask("SELECT count(*)::text FROM \"at once\".observer_migrations").await;
    assert_eq!(versions, Some(applied.to_string()), "each once");
    database.store.check_schema().await.unwrap();
}

#[tokio::test]
async fn the_tables_can_live_in_a_schema_of_their_own() {
    let schema = "after \"commit\"".to_owned();
    let database = Database::empty(PostgresOptions { schema, ..PostgresOptions::default() }).await;
    database.store.migrate().await.unwrap();
    database.store.check_schema().await.unwrap();
    let elsewhere = "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(database.ask(elsewhere).await.as_deref(), Some("0"));
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1)").await;
    assert_eq!(database.kinds().await, ["created 1"]);
    assert_eq!(database.drift().await, "");
}

/// Connections that were cut are replaced, and nothing but the call that was cut fails.
#[tokio::test]
async fn cut_connections_are_replaced() {
    let database = Database::fresh().await;
    let host = HostId::random();
    database.store.register(host, "box", at(0)).await.unwrap();
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'aftercommit'",
        database.name
    );
    execute(&mut server().await, &cut).await.unwrap();
    assert!(database.store.heartbeat(host, at(1)).await.unwrap());
}

#[tokio::test]
async fn the_bell_rings_again_after_its_connection_was_cut() {
    let database = Database::fresh().await;
    let ring =
        async || tokio::time::timeout(GUARD, database.store.holds_bell()).await.expect("the bell rings");
    ring().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    database.sql(cut).await;
    // The new connection rings by itself: something may have been missed.
    ring().await;
    database.sql("NOTIFY observer_destinations").await;
    ring().await;
}

#[tokio::test]
async fn hosts_hear_that_observers_changed() {
    let database = Database::fresh().await;
    let revision = database.store.revision().await.unwrap();
    let store = database.store.clone();
    let hearing = tokio::spawn(async move { store.definitions_bell(revision).await });
    let observers = vec![ObserverDefinition::new("watcher")];
    database.another().await.apply(observers, false, false, at(0)).await.unwrap();
    tokio::time::timeout(GUARD, hearing).await.expect("the bell rings").unwrap();
}

#[tokio::test]
async fn hosts_hear_what_is_held_back_and_who_comes_and_goes() {
    let database = Database::fresh().await;
    let ring =
        async || tokio::time::timeout(GUARD, database.store.holds_bell()).await.expect("the bell rings");
    // It rings by itself once it listens.
    ring().await;
    let (another, host) = (database.another().await, HostId::random());
    another.register(host, "box", at(0)).await.unwrap();
    ring().await;
    let target = Target::Destination("redis.cache".to_owned());
    let hold = Hold {
        target: target.clone(),
        state: HoldState::Open,
        code: "connection".to_owned(),
        message: "nobody listens there".to_owned(),
        http_status: None,
        since: at(0),
        until: Some(at(1)),
        openings: 1,
        lanes: Vec::new(),
        definition: None,
    };
    another.hold(hold).await.unwrap();
    ring().await;
    another.lift(target, Lift::Always).await.unwrap();
    ring().await;
    another.retire(host).await.unwrap();
    ring().await;
}

#[tokio::test]
async fn an_exhausted_pool_is_a_passing_error() {
    let database = Database::fresh().await;
    let options = PostgresOptions {
        max_connections: 1,
        connect_timeout: Duration::from_millis(300),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::open(&database.url(), options).await.unwrap();
    database.sql("BEGIN; LOCK TABLE observer_hosts").await;
    let waiting = store.clone();
    let waiting = tokio::spawn(async move { waiting.register(HostId::random(), "box", at(0)).await });
    while store.inbox_len().await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = store.inbox_len().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("no connection was free"), "{error}");
    database.sql("COMMIT").await;
    waiting.await.unwrap().unwrap();
    store.inbox_len().await.unwrap();
}

/// The server is stopped in the middle of it: its sockets stay open, and say nothing.
#[tokio::test]
async fn an_answer_that_does_not_come_is_a_passing_error_and_frees_its_place() {
    let database = Database::fresh().await;
    let options = PostgresOptions {
        max_connections: 1,
        answer_timeout: Duration::from_millis(300),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::open(&database.url(), options).await.unwrap();
    let host = HostId::random();
    store.register(host, "box", at(0)).await.unwrap();
    let pid = "SELECT pid::text FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '%COMMIT%' AND application_name = 'aftercommit'";
    let pid = database.ask(pid).await.unwrap();
    let signal = async |name: &str| {
        let done = tokio::process::Command::new("kill").args([name, &pid]).status().await.unwrap();
        assert!(done.success());
    };
    signal("-STOP").await;
    let unanswered = store.inbox_len().await;
    let over_another = store.heartbeat(host, at(1)).await;
    signal("-CONT").await;
    let error = unanswered.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("did not answer within 300 ms"), "{error}");
    assert!(over_another.unwrap());
}
