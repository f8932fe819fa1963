//! Behind a pooler: one that gives each transaction to any session (no options at the start, no prepared statements), and one that
//! gives each client a session of its own, which it may have used before.
//!
//! It is a real `PgBouncer` where the machine has one. Without it the same statements go to the server itself.

use std::sync::{Arc, LazyLock};

use aftercommit_store::{
    CaptureRequest, Captures as _, Holds as _, PostgresOptions, PostgresStore, Schema as _, StoreError,
    conformance::{self, Harness, TestDatabase},
};
use async_trait::async_trait;
use sqlx::{ConnectOptions as _, Executor as _, Row as _, postgres::PgConnectOptions};

use crate::database::{CLUSTER, Database, at};

/// What people have `PgBouncer` pass over where a driver is refused.
const IGNORES: &str = "ignore_startup_parameters = extra_float_digits,options\n";

/// The ports of four poolers: sessions or transactions, startup parameters refused or passed over. Nothing where there is none.
static POOLERS: LazyLock<Vec<(&str, u16)>> = LazyLock::new(|| {
    let kinds = [("session", ""), ("session", IGNORES), ("transaction", ""), ("transaction", IGNORES)];
    let started = kinds.into_iter().zip(7001..).filter_map(|((mode, ignores), port)| {
        let settings = format!("pool_mode = {mode}\ndefault_pool_size = 20\n{ignores}");
        CLUSTER.start_pooler(port, &settings).then_some((mode, port))
    });
    started.collect()
});

/// The way through the poolers of a mode.
fn ways(mode: &str, database: &Database) -> Vec<String> {
    let ports = POOLERS.iter().filter(|(found, _)| *found == mode);
    ports.map(|(_, port)| format!("{}&port={port}", database.url())).collect()
}

fn elsewhere() -> PostgresOptions {
    PostgresOptions { schema: "else where".to_owned(), ..PostgresOptions::default() }
}

struct PooledHarness;

#[async_trait]
impl Harness for PooledHarness {
    async fn fresh(&self) -> Arc<dyn TestDatabase> {
        let database = Database::pooled("public").await;
        database.store.migrate().await.unwrap();
        Arc::new(database)
    }
}

/// Everything but the bell, for which there is no connection, and the model, which takes long and asks for nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_behind_a_pooler() {
    let left_out = ["intake::hears_a_commit", "model::behaves_like_the_model"];
    // What counts work ends sessions, which are the pooler's here.
    let is_wanted = |name: &&str| !left_out.contains(name) && !name.starts_with("bulk::");
    let cases = conformance::CASES.iter().map(|case| case.name).filter(is_wanted);
    conformance::run_cases(Arc::new(PooledHarness), &cases.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_schema_of_its_own_needs_nothing_of_the_session() {
    let database = Database::pooled("elsewhere").await;
    database.store.migrate().await.unwrap();
    database.store.check_schema().await.unwrap();
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1)").await;
    assert_eq!(database.kinds().await, ["created 1"]);
}

/// Also where the database's own settings would be in the way.
#[tokio::test]
async fn sessions_through_a_pooler_are_set_whatever_it_does_with_what_they_start_with() {
    let database = Database::empty(elsewhere()).await;
    database
        .sql(&format!(
            "ALTER DATABASE {0} SET default_transaction_isolation = 'repeatable read'; ALTER DATABASE {0} SET datestyle = 'German';
             CREATE TABLE t (id INTEGER PRIMARY KEY, day DATE)",
            database.name
        ))
        .await;
    for (n, url) in (1..).zip(ways("session", &database)) {
        let store = PostgresStore::open(&url, elsewhere()).await.unwrap();
        store.migrate().await.unwrap();
        store.add_capture(CaptureRequest::new("t", "T"), at(0)).await.unwrap();
        database.sql(&format!("INSERT INTO t VALUES ({n}, '1.2.2026')")).await;
        database.settle().await;
        let strays = "SELECT count(*)::text FROM pg_class WHERE relname LIKE '%observer%' AND relnamespace = 'public'::regnamespace";
        assert_eq!(database.ask(strays).await.as_deref(), Some("0"), "{url}");
        // It keeps its session, and so it hears.
        let guard = std::time::Duration::from_secs(30);
        tokio::time::timeout(guard, store.holds_bell()).await.expect("the bell rings");
        // Several at once, each a connection of its own.
        let lists = (0..5).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.captures().await.unwrap().len() })
        });
        for list in lists.collect::<Vec<_>>() {
            assert_eq!(list.await.unwrap(), 1);
        }
        store.close().await;
    }
    let made = if POOLERS.is_empty() { vec![] } else { vec!["created 1", "created 2"] };
    assert_eq!(database.kinds().await, made);
}

#[tokio::test]
async fn a_pooler_that_shares_sessions_is_named_with_what_to_write() {
    let database = Database::empty(PostgresOptions::default()).await;
    for url in ways("transaction", &database) {
        let error = PostgresStore::open(&url, PostgresOptions::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("write `pooled = true` in `[database]`"), "{error}");
        // Nothing was set in the sessions of others.
        let others = "SELECT string_agg(DISTINCT setting, ',') FROM pg_settings WHERE name IN ('enable_seqscan', 'jit')";
        let options: PgConnectOptions = url.parse().unwrap();
        let mut other = options.extra_float_digits(None).connect().await.unwrap();
        let set = other.fetch_one(sqlx::raw_sql(others)).await.unwrap();
        assert_eq!(set.get_unchecked::<String, _>(0), "on");
        let pooled = PostgresOptions { pooled: true, ..PostgresOptions::default() };
        let store = PostgresStore::open(&url, pooled).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
    }
}
