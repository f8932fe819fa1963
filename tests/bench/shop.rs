//! A database with a table of orders in a file of its own, the application that writes to it, and a host.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aftercommit::{
    Host, HostSettings, ObserverDefinition,
    config::{Config, PluginConfig, PluginSource},
    wiring,
};
use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::{Backend, CaptureRequest};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sample::{self, SECRET};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, country TEXT, status TEXT, \
                      total NUMERIC, note TEXT)";
const INSERT_MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    INSERT INTO orders (customer, country, status, total, note)
    SELECT 'customer ' || i, 'AT', 'pending', i + 0.25, 'a note of ordinary length for order ' || i FROM n";
const INSERT_ONE: &str = "INSERT INTO orders (customer, country, status, total, note) VALUES
    ('customer 7', 'AT', 'pending', 150.25, 'a note of ordinary length for order 7')";

/// A database file with a table, and a store over it. All is gone when it is dropped.
pub(crate) struct Shop {
    store: Arc<dyn Backend>,
    config: Config,
    folder: TempDir,
}

impl Shop {
    /// Without triggers, and without observers.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = wiring::open_store(&format!("sqlite:{}", path(&folder).display()), true).await.unwrap();
        store.migrate().await.unwrap();
        std::fs::write(folder.path().join("WEBHOOK_SECRET"), SECRET).unwrap();
        let mut config = Config::default();
        config.secrets.dir = Some(folder.path().to_owned());
        config.runtime.cache_dir = Some(folder.path().join("cache"));
        let noop = PluginSource::File(sample::component("test/noop"));
        let noop = PluginConfig { source: noop, digest: None, grants: None, limits: None };
        config.plugins.insert("noop".to_owned(), noop);
        let shop = Self { store, config, folder };
        shop.connect().execute_batch(ORDERS).unwrap();
        shop
    }

    /// With triggers, and with one observer of new orders that runs `action`.
    pub(crate) async fn observed(action: &Value) -> Self {
        let shop = Self::open().await;
        shop.capture().await;
        let observer = json!({
            "name": "orders", "entity_type": "Order", "event_kind": "created", "condition": "total > 0",
            "actions": [action],
        });
        let observer: ObserverDefinition = serde_json::from_value(observer).unwrap();
        shop.store.apply(vec![observer], true, false, SystemClock.now()).await.unwrap();
        shop
    }

    pub(crate) async fn capture(&self) {
        let request = CaptureRequest {
            table: "orders".into(),
            entity_type: "Order".into(),
            key: Vec::new(),
            notify: true,
        };
        self.store.add_capture(request, SystemClock.now()).await.unwrap();
    }

    /// A connection of the application. Its commits are not synced one by one: what is measured is not the disk.
    pub(crate) fn connect(&self) -> Connection {
        let app = Connection::open(path(&self.folder)).unwrap();
        app.busy_timeout(Duration::from_secs(30)).unwrap();
        app.pragma_update(None, "synchronous", "NORMAL").unwrap();
        app
    }

    /// A host in this process, as configured by default.
    pub(crate) async fn start(&self) -> Host {
        let catalog = Arc::new(wiring::open_catalog(&self.config).unwrap());
        let settings = HostSettings::from(&self.config);
        Host::start(Arc::clone(&self.store), catalog, Arc::new(SystemClock), settings).await.unwrap()
    }

    /// Panics unless `count` deliveries succeeded, and none is left.
    pub(crate) async fn check(&self, host: Host, count: usize) {
        let health = host.health();
        host.stop().await.unwrap();
        assert_eq!((health.succeeded, health.dead, health.retried), (count as u64, 0, 0));
        let app = self.connect();
        for (statement, expected) in [
            ("SELECT count(*) FROM observer_deliveries", 0),
            ("SELECT count(*) FROM observer_inbox", 0),
            ("SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded'", count),
        ] {
            let found: i64 = app.query_row(statement, (), |row| row.get(0)).unwrap();
            assert_eq!(usize::try_from(found), Ok(expected), "{statement}");
        }
    }
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("shop.db")
}

/// Inserts rows in one transaction.
pub(crate) fn insert_many(app: &Connection, rows: usize) {
    app.prepare_cached(INSERT_MANY).unwrap().execute([i64::try_from(rows).unwrap()]).unwrap();
}

/// Inserts a row in a transaction of its own; returns its key.
pub(crate) fn insert_one(app: &Connection) -> u64 {
    app.prepare_cached(INSERT_ONE).unwrap().execute(()).unwrap();
    u64::try_from(app.last_insert_rowid()).unwrap()
}

/// Returns when so many deliveries have succeeded; panics after a minute.
pub(crate) async fn delivered(host: &Host, count: usize) {
    let wait = async {
        while host.health().succeeded < count as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), wait).await;
    assert!(waited.is_ok(), "not delivered within a minute: {:?}", host.health());
}
