//! A shop's database on a PostgreSQL server of the tests' own.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU32, Ordering},
};

use aftercommit_tests::Cluster;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgRow};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::shop::{Database, Shop};

/// The server of all tests that do it no harm; started at the first use.
static SHARED: LazyLock<Arc<Cluster>> = LazyLock::new(|| Arc::new(Cluster::start()));

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database of a server, and one connection of the application, which is made again when it is lost.
pub(crate) struct PostgresDatabase {
    /// Its server.
    pub(crate) cluster: Arc<Cluster>,
    /// Its name.
    pub(crate) name: String,
    host_url: String,
    connection: Mutex<Option<PgConnection>>,
}

impl Shop<PostgresDatabase> {
    /// A shop in a database of the shared server, migrated, with a captured table `orders`.
    pub(crate) async fn on_postgres(config: &str) -> Self {
        Self::on(PostgresDatabase::shared().await, config).await
    }

    /// The same in this database.
    pub(crate) async fn on(database: PostgresDatabase, config: &str) -> Self {
        Self::of(TempDir::new().expect("a temporary folder"), database, config).await
    }
}

impl PostgresDatabase {
    /// An empty one on the shared server.
    pub(crate) async fn shared() -> Self {
        Self::create(&SHARED).await
    }

    /// An empty one.
    pub(crate) async fn create(cluster: &Arc<Cluster>) -> Self {
        let name = format!("shop_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut server = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
        let made = sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut server).await;
        made.expect("the name is new");
        let host_url = cluster.url(&name);
        Self { cluster: Arc::clone(cluster), name, host_url, connection: Mutex::default() }
    }

    /// Has the hosts, and every other command, reach it this way.
    pub(crate) fn reached_by(self, host_url: String) -> Self {
        Self { host_url, ..self }
    }

    /// A connection of the application.
    pub(crate) async fn connect(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.cluster.url(&self.name)).await
    }

    /// All values of the first column, as text.
    pub(crate) async fn column(&self, query: &str) -> Result<Vec<String>, String> {
        let rows = self.rows(query).await?;
        Ok(rows.iter().map(|row| row.get_unchecked::<String, _>(0)).collect())
    }

    async fn rows(&self, statements: &str) -> Result<Vec<PgRow>, String> {
        let mut held = self.connection.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => self.connect().await.map_err(|error| error.to_string())?,
        };
        let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut connection).await;
        // After an error it may be gone, or in a transaction.
        let rows = rows.map_err(|error| error.to_string())?;
        *held = Some(connection);
        Ok(rows)
    }
}

impl Database for PostgresDatabase {
    fn url(&self) -> String {
        self.host_url.clone()
    }

    async fn execute(&self, statements: &str) -> Result<(), String> {
        self.rows(statements).await.map(drop)
    }

    async fn ask(&self, query: &str) -> Result<Option<String>, String> {
        let rows = self.rows(query).await?;
        Ok(rows.first().and_then(|row| row.get_unchecked::<Option<String>, _>(0)))
    }

    async fn dump(&self) -> Result<String, String> {
        let tables = self
            .column(
                "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
                 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')",
            )
            .await?;
        let mut all = Vec::new();
        for table in tables {
            // Bytes as text, where they are text.
            let rows = format!("SET bytea_output = 'escape'; SELECT '{table} ' || t::text FROM {table} t");
            all.extend(self.column(&rows).await?);
        }
        Ok(all.join("\n"))
    }
}
