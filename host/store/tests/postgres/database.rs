//! Fresh databases, each a copy of one that was migrated once, and the application that writes to them.

use std::sync::{
    Arc, LazyLock, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use aftercommit_core::{EntityEvent, Timestamp};
use aftercommit_store::{
    Backend, Captures as _, HostId, Intake as _, Plan, Planned, PostgresOptions, PostgresStore, Schema as _,
    TakeRequest,
    conformance::{Harness, TestDatabase},
};
use aftercommit_tests::Cluster;
use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::sync::OnceCell;

use crate::network;

/// The server of all tests; started at the first use.
pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start_prepared(network::prepare));

const TEMPLATE: &str = "migrated";
static TEMPLATE_IS_THERE: OnceCell<()> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Databases that are not used any more; dropped when the next is made.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) struct PostgresHarness;

#[async_trait]
impl Harness for PostgresHarness {
    async fn fresh(&self) -> Arc<dyn TestDatabase> {
        Arc::new(Database::fresh().await)
    }
}

/// A database of the tests' server.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) store: PostgresStore,
    options: PostgresOptions,
    /// The rows that were read when that was asked last.
    read: Mutex<u64>,
    application: tokio::sync::Mutex<PgConnection>,
}

impl Database {
    /// The major version of the server.
    pub(crate) async fn server_version(&self) -> u32 {
        let version = "SELECT (current_setting('server_version_num')::int / 10000)::text";
        self.ask(version).await.unwrap().parse().unwrap()
    }

    /// A migrated one, with the tables in `public`.
    pub(crate) async fn fresh() -> Self {
        TEMPLATE_IS_THERE.get_or_init(make_template).await;
        Self::of(&format!("TEMPLATE {TEMPLATE}"), PostgresOptions::default()).await
    }

    /// One that was never migrated, used through a pooler.
    pub(crate) async fn pooled(schema: &str) -> Self {
        let options =
            PostgresOptions { schema: schema.to_owned(), pooled: true, ..PostgresOptions::default() };
        Self::of("TEMPLATE template0", options).await
    }

    /// One that was never migrated.
    pub(crate) async fn empty(options: PostgresOptions) -> Self {
        Self::of("TEMPLATE template0", options).await
    }

    async fn of(template: &str, options: PostgresOptions) -> Self {
        let name = format!("case_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut server = server().await;
        let left = std::mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
        for database in left {
            execute(&mut server, &format!("DROP DATABASE {database} WITH (FORCE)")).await.unwrap();
        }
        execute(&mut server, &format!("CREATE DATABASE {name} {template}")).await.unwrap();
        let url = CLUSTER.url(&name);
        let store = PostgresStore::open(&way(&name, &options), options.clone()).await.unwrap();
        let application = tokio::sync::Mutex::new(PgConnection::connect(&url).await.unwrap());
        Self { name, store, options, read: Mutex::new(0), application }
    }

    pub(crate) fn url(&self) -> String {
        CLUSTER.url(&self.name)
    }

    /// Another store of the same database.
    pub(crate) async fn another(&self) -> PostgresStore {
        PostgresStore::open(&way(&self.name, &self.options), self.options.clone()).await.unwrap()
    }

    /// A connection of the application, besides the one that `sql` uses.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// What `capture list` says of the only capture.
    pub(crate) async fn drift(&self) -> String {
        self.store.captures().await.unwrap()[0].drift.clone().unwrap_or_default()
    }

    /// Takes all that is in the inbox, of which nothing follows.
    pub(crate) async fn settle(&self) {
        let request = TakeRequest {
            host: HostId::random(),
            limit: 1000,
            max_bytes: usize::MAX,
            own: 0,
            own_bytes: 0,
            now: at(0),
        };
        while self.store.take(request, Arc::new(Nobody)).await.unwrap().more {}
    }

    /// Has commits ring, as if a host slept for an hour.
    pub(crate) async fn falls_asleep(&self) {
        self.sql("SELECT setval('observer_bell', extract(epoch FROM now())::bigint + 3600)").await;
    }

    /// The events so far as texts, the oldest first: `created 7`.
    pub(crate) async fn kinds(&self) -> Vec<String> {
        let events = self.events().await;
        events.iter().map(|event| format!("{} {}", event.event_kind, event.entity_id)).collect()
    }

    /// Runs statements as the application; its error as text.
    pub(crate) async fn try_sql(&self, statements: &str) -> Result<(), String> {
        execute(&mut *self.application.lock().await, statements).await
    }
}

/// Wants no event.
pub(crate) struct Nobody;

impl Plan for Nobody {
    fn plan(&self, _: &EntityEvent) -> Planned {
        Planned::default()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(self.name.clone());
    }
}

/// The URL for these options.
fn way(database: &str, options: &PostgresOptions) -> String {
    let pooled = if options.pooled { CLUSTER.pooled_url(database) } else { None };
    pooled.unwrap_or_else(|| CLUSTER.url(database))
}

async fn make_template() {
    let mut server = server().await;
    execute(&mut server, &format!("CREATE DATABASE {TEMPLATE} TEMPLATE template0")).await.unwrap();
    let store = PostgresStore::open(&CLUSTER.url(TEMPLATE), PostgresOptions::default()).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
}

/// The superuser, in no database of a test.
pub(crate) async fn server() -> PgConnection {
    PgConnection::connect(&CLUSTER.url("postgres")).await.unwrap()
}

/// Runs statements; their error as text.
pub(crate) async fn execute(connection: &mut PgConnection, statements: &str) -> Result<(), String> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await;
    done.map(|_| ()).map_err(|error| error.to_string())
}

/// So many seconds into a test.
pub(crate) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000)
}

#[async_trait]
impl TestDatabase for Database {
    fn store(&self) -> Arc<dyn Backend> {
        Arc::new(self.store.clone())
    }

    async fn second_store(&self) -> Arc<dyn Backend> {
        Arc::new(self.another().await)
    }

    async fn sql(&self, statements: &str) {
        if let Err(error) = self.try_sql(statements).await {
            panic!("{error}\n{statements}");
        }
    }

    /// Rows and entries of indexes that were read. A session reports them when it ends.
    async fn work(&self) -> u64 {
        let others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND backend_type = 'client backend'";
        self.ask(&format!("SELECT count(pg_terminate_backend(pid))::text {others}")).await;
        while self.ask(&format!("SELECT count(*)::text {others}")).await.as_deref() != Some("0") {
            tokio::task::yield_now().await;
        }
        let read = "SELECT ((SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables)
            + (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes))::text";
        self.sql("SELECT pg_stat_force_next_flush()").await;
        let read: u64 = self.ask(read).await.unwrap().parse().unwrap();
        let before = std::mem::replace(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner), read);
        read - before
    }

    async fn ask(&self, query: &str) -> Option<String> {
        let mut application = self.application.lock().await;
        let row = sqlx::raw_sql(AssertSqlSafe(query)).fetch_optional(&mut *application).await.unwrap();
        row.and_then(|row| row.get_unchecked::<Option<String>, _>(0))
    }
}
