//! Fresh database files, and the application that writes to them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aftercommit_core::{EntityEvent, Timestamp};
use aftercommit_store::{
    Backend, HostId, Intake as _, Plan, Planned, Schema as _, SqliteOptions, SqliteStore, TakeRequest, Taken,
    conformance::{Harness, TestDatabase},
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, types::Value as Cell};
use tempfile::TempDir;
use tokio::sync::Mutex;

pub(crate) struct SqliteHarness;

#[async_trait]
impl Harness for SqliteHarness {
    async fn fresh(&self) -> Arc<dyn TestDatabase> {
        Arc::new(Database::fresh().await)
    }
}

/// A migrated database in a folder of its own.
pub(crate) struct Database {
    pub(crate) folder: TempDir,
    pub(crate) store: SqliteStore,
    application: Mutex<Connection>,
}

impl Database {
    pub(crate) async fn fresh() -> Self {
        let database = Self::empty().await;
        database.store.migrate().await.unwrap();
        database
    }

    /// The same without our tables.
    pub(crate) async fn empty() -> Self {
        Self::of("").await
    }

    /// One that holds what these statements make, and was not migrated.
    pub(crate) async fn of(statements: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let application = Connection::open(folder.path().join("shop.db")).unwrap();
        application.busy_timeout(Duration::from_secs(5)).unwrap();
        application.execute_batch(statements).unwrap();
        let options = SqliteOptions { create: true, ..SqliteOptions::default() };
        let store = SqliteStore::open(&url_in(&folder), options).await.unwrap();
        let application = Mutex::new(application);
        Self { folder, store, application }
    }

    pub(crate) fn url(&self) -> String {
        url_in(&self.folder)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.store.path()
    }

    /// Runs statements as the application; its error as text.
    pub(crate) async fn try_sql(&self, statements: &str) -> Result<(), String> {
        self.application.lock().await.execute_batch(statements).map_err(|error| error.to_string())
    }
}

/// Nobody wants any event.
pub(crate) struct Nobody;

impl Plan for Nobody {
    fn plan(&self, _: &EntityEvent) -> Planned {
        Planned::default()
    }
}

/// Takes up to 1000 rows of the inbox, of whatever size.
pub(crate) async fn take(database: &Database) -> Taken {
    take_bytes(database, usize::MAX).await
}

/// The same, no more than so many bytes at once.
pub(crate) async fn take_bytes(database: &Database, max_bytes: usize) -> Taken {
    let request = TakeRequest {
        host: HostId::random(),
        limit: 1000,
        max_bytes,
        own: 1000,
        own_bytes: usize::MAX,
        now: at(0),
    };
    database.store.take(request, Arc::new(Nobody)).await.unwrap()
}

/// The events so far, the oldest first: kind, entity id, and the images as text.
pub(crate) async fn told(database: &Database) -> Vec<String> {
    let line = |event: EntityEvent| {
        let old = event.old.map(|old| format!(" was {old}")).unwrap_or_default();
        format!("{} {} {}{old}", event.event_kind, event.entity_id, event.data)
    };
    database.events().await.into_iter().map(line).collect()
}

/// So many seconds into a test.
pub(crate) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000)
}

fn url_in(folder: &TempDir) -> String {
    format!("sqlite:{}/shop.db", folder.path().display())
}

#[async_trait]
impl TestDatabase for Database {
    fn store(&self) -> Arc<dyn Backend> {
        Arc::new(self.store.clone())
    }

    async fn second_store(&self) -> Arc<dyn Backend> {
        Arc::new(SqliteStore::open(&self.url(), SqliteOptions::default()).await.unwrap())
    }

    async fn sql(&self, statements: &str) {
        if let Err(error) = self.try_sql(statements).await {
            panic!("{error}\n{statements}");
        }
    }

    async fn work(&self) -> u64 {
        aftercommit_store::sqlite::steps::taken(&self.path())
    }

    async fn ask(&self, query: &str) -> Option<String> {
        let application = self.application.lock().await;
        let cell = application.query_row(query, (), |row| row.get(0)).optional().unwrap()?;
        match cell {
            Cell::Null => None,
            Cell::Integer(number) => Some(number.to_string()),
            Cell::Real(number) => Some(number.to_string()),
            Cell::Text(text) => Some(text),
            Cell::Blob(bytes) => Some(format!("{bytes:?}")),
        }
    }
}
