//! Commits ring while a host sleeps, and only then.

use std::{sync::Arc, time::Duration};

use aftercommit_store::{
    CaptureRequest, Captures as _, HostId, Hosts as _, Intake as _, PostgresOptions, PostgresStore,
    TakeRequest, conformance::TestDatabase as _,
};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgListener, PgPoolOptions},
};

use crate::database::{CLUSTER, Database, Nobody, at, execute};

/// Long enough for any machine; what does not come fails.
const GUARD: Duration = Duration::from_secs(30);

const SLEEPS: &str = "SELECT (last_value > extract(epoch FROM now()))::text FROM observer_bell";

/// What the server tells of an inbox.
struct Ear {
    listener: PgListener,
    database: Database,
}

impl Ear {
    async fn new() -> Self {
        let database = Database::fresh().await;
        database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
        database.capture("t", "T").await;
        let pool = PgPoolOptions::new().max_connections(1).connect(&database.url()).await.unwrap();
        let mut listener = PgListener::connect_with(&pool).await.unwrap();
        listener.listen_all(["observer_inbox", "end"]).await.unwrap();
        Self { listener, database }
    }

    /// Whether a commit of this statement rings. Notifications come in the order of their commits.
    async fn rings(&mut self, statement: &str) -> bool {
        self.heard().await;
        self.database.sql(statement).await;
        self.heard().await
    }

    /// Whether anything rang since it was asked last.
    async fn heard(&mut self) -> bool {
        self.database.sql("NOTIFY \"end\"").await;
        let mut rang = false;
        loop {
            let heard = tokio::time::timeout(GUARD, self.listener.recv()).await.unwrap().unwrap();
            if heard.channel() == "end" {
                return rang;
            }
            rang = true;
        }
    }

    async fn sleeps(&self) -> bool {
        self.database.ask(SLEEPS).await.as_deref() == Some("true")
    }
}

/// A host that was registered, and its store.
async fn host(database: &Database) -> (PostgresStore, HostId) {
    let (store, host) = (database.another().await, HostId::random());
    store.register(host, "box", at(0)).await.unwrap();
    (store, host)
}

/// Goes to sleep: it has nothing to do. It looks once more before it waits.
async fn sleep(store: &PostgresStore, host: HostId) {
    store.doorbell(host, GUARD).await;
}

#[tokio::test]
async fn a_commit_rings_while_a_host_sleeps() {
    let mut ear = Ear::new().await;
    assert!(!ear.rings("INSERT INTO t VALUES (1)").await, "there is no host");
    let (store, first) = host(&ear.database).await;
    sleep(&store, first).await;
    assert!(ear.rings("INSERT INTO t VALUES (2)").await);
    assert!(ear.rings("UPDATE t SET id = 3 WHERE id = 2").await);
    assert!(ear.rings("DELETE FROM t").await);
    // A host that ends is rung no more, one of two is not enough.
    let (other_store, other) = host(&ear.database).await;
    sleep(&other_store, other).await;
    store.retire(first).await.unwrap();
    assert!(ear.rings("INSERT INTO t VALUES (4)").await);
    other_store.retire(other).await.unwrap();
    assert!(!ear.rings("INSERT INTO t VALUES (5)").await);
}

/// Gives a sleeping host more than it takes at once, until it says that it looks by itself.
async fn wake(ear: &Ear, store: &PostgresStore, host: HostId) {
    ear.database.sql("INSERT INTO t SELECT generate_series(1, 100)").await;
    while ear.sleeps().await {
        let request = TakeRequest { host, limit: 1, max_bytes: usize::MAX, own: 0, own_bytes: 0, now: at(0) };
        assert!(store.take(request, Arc::new(Nobody)).await.unwrap().more);
    }
}

#[tokio::test]
async fn a_busy_host_looks_by_itself_until_all_is_quiet() {
    let mut ear = Ear::new().await;
    let (store, host) = host(&ear.database).await;
    sleep(&store, host).await;
    wake(&ear, &store, host).await;
    assert!(!ear.rings("INSERT INTO t VALUES (-1)").await);
    while !ear.sleeps().await {
        store.doorbell(host, GUARD).await;
    }
    assert!(ear.rings("INSERT INTO t VALUES (-2)").await);
}

/// One host looks by itself, the other sleeps.
#[tokio::test]
async fn one_host_that_sleeps_is_enough() {
    let mut ear = Ear::new().await;
    let (first_store, first) = host(&ear.database).await;
    let (second_store, second) = host(&ear.database).await;
    sleep(&first_store, first).await;
    wake(&ear, &first_store, first).await;
    sleep(&second_store, second).await;
    assert!(ear.rings("INSERT INTO t VALUES (-1)").await);
    second_store.retire(second).await.unwrap();
    assert!(!ear.rings("INSERT INTO t VALUES (-2)").await);
}

/// It changed a row while the host was awake, and so it does not ring.
#[tokio::test]
async fn a_transaction_that_was_open_when_the_host_went_to_sleep_is_found() {
    let ear = Ear::new().await;
    let (store, host) = host(&ear.database).await;
    let mut late = ear.database.connect().await;
    execute(&mut late, "BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    sleep(&store, host).await;
    assert!(ear.sleeps().await);
    execute(&mut late, "COMMIT").await.unwrap();
    let found = async {
        while ear.database.kinds().await.is_empty() {
            store.doorbell(host, GUARD * 2).await;
            ear.database.settle().await;
        }
    };
    tokio::time::timeout(GUARD, found).await.expect("a look long before the poll");
}

#[tokio::test]
async fn a_host_that_died_in_its_sleep_is_not_rung_for_ever() {
    let mut ear = Ear::new().await;
    let (store, host) = host(&ear.database).await;
    sleep(&store, host).await;
    ear.database.sql("SELECT setval('observer_bell', last_value - 31) FROM observer_bell").await;
    assert!(!ear.rings("INSERT INTO t VALUES (1)").await);
}

/// Who writes to a captured table could have the events of others wait for the poll.
#[tokio::test]
async fn nobody_else_says_that_no_host_sleeps() {
    let database = Database::empty(PostgresOptions::default()).await;
    let role = format!("writer_of_{}", database.name);
    let granted = format!(
        "CREATE ROLE {role} LOGIN; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {role}, PUBLIC"
    );
    database.sql(&granted).await;
    aftercommit_store::Schema::migrate(&database.store).await.unwrap();
    database.sql(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY); GRANT ALL ON t TO {role}")).await;
    database.store.add_capture(CaptureRequest::new("t", "T"), at(0)).await.unwrap();
    let mut writer = PgConnection::connect(&CLUSTER.url_as(&role, &database.name)).await.unwrap();
    for attempt in [
        "SELECT setval('observer_bell', 0)",
        "SELECT nextval('observer_bell')",
        "ALTER SEQUENCE observer_bell RESTART",
        "DROP SEQUENCE observer_bell",
        "SELECT observer_ring(gen_random_uuid(), 0)",
        "UPDATE observer_hosts SET rung_until = NULL",
    ] {
        let refused = execute(&mut writer, attempt).await.unwrap_err();
        assert!(
            refused.contains("permission denied") || refused.contains("must be owner"),
            "{attempt}: {refused}"
        );
    }
    execute(&mut writer, "INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(database.kinds().await, ["created 1"]);
}
