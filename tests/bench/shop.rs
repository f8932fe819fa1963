//! A database with a table of orders, and a host.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit::{
    Host, HostSettings, ObserverDefinition,
    config::{Config, DatabaseConfig, PluginConfig, PluginSource},
    wiring,
};
use aftercommit_core::{Clock as _, EntityEvent, SystemClock};
use aftercommit_store::{Backend, CaptureRequest, ChangeLogRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    database::{Application, Database, Server},
    sample::{self, SECRET},
};

/// A database with a table, and a store over it. All is gone when it is dropped.
pub(crate) struct Shop {
    store: Arc<dyn Backend>,
    config: Config,
    database: Box<dyn Database>,
    _secrets: TempDir,
}

impl Shop {
    /// Without triggers, and without observers.
    pub(crate) async fn open(server: &dyn Server) -> Self {
        let database = server.fresh();
        let store = wiring::open_store(&DatabaseConfig::of(database.url()), true).await.unwrap();
        store.migrate().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("WEBHOOK_SECRET"), SECRET).unwrap();
        let mut config = Config::default();
        config.secrets.dir = Some(folder.path().to_owned());
        config.runtime.cache_dir = Some(folder.path().join("cache"));
        let noop = PluginSource::File(sample::component("test/noop"));
        let noop = PluginConfig::new(noop);
        config.plugins.insert("noop".to_owned(), noop);
        Self { store, config, database, _secrets: folder }
    }

    /// With triggers, and with one observer of new orders that runs `action`.
    pub(crate) async fn observed(server: &dyn Server, action: &Value) -> Self {
        let shop = Self::open(server).await;
        shop.capture(true).await;
        let observer = json!({
            "name": "orders", "entity_type": "Order", "event_kind": "created", "condition": "total > 0",
            "actions": [action],
        });
        shop.observe(vec![serde_json::from_value(observer).unwrap()]).await;
        shop
    }

    /// Installs these observers and no other.
    pub(crate) async fn observe(&self, observers: Vec<ObserverDefinition>) {
        self.store.apply(observers, true, false, SystemClock.now()).await.unwrap();
    }

    /// Commits an event.
    pub(crate) async fn emit(&self, event: EntityEvent) {
        self.store.emit(event).await.unwrap();
    }

    pub(crate) async fn capture(&self, notify: bool) {
        self.capture_table("orders", "Order", &[], notify).await;
    }

    /// Without the doorbell, and only changes for which the condition is true.
    pub(crate) async fn capture_when(&self, condition: &str) {
        let condition = Some(condition.to_owned());
        let request = CaptureRequest { condition, notify: false, ..CaptureRequest::new("orders", "Order") };
        self.store.add_capture(request, SystemClock.now()).await.unwrap();
    }

    /// Captures a table; without a key, by its primary key.
    pub(crate) async fn capture_table(&self, table: &str, entity_type: &str, key: &[&str], notify: bool) {
        let key = key.iter().map(|&column| column.into()).collect();
        let request = CaptureRequest { key, notify, ..CaptureRequest::new(table, entity_type) };
        self.store.add_capture(request, SystemClock.now()).await.unwrap();
    }

    /// Captures a change log whose columns have their usual names.
    pub(crate) async fn capture_log(&self, table: &str, notify: bool) {
        let request = ChangeLogRequest { table: table.to_owned(), columns: BTreeMap::new(), notify };
        self.store.add_change_log(request, SystemClock.now()).await.unwrap();
    }

    /// How many rows wait in the inbox.
    pub(crate) async fn waiting(&self) -> u64 {
        self.store.inbox_len().await.unwrap()
    }

    /// The database's URL.
    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    /// A connection of the application.
    pub(crate) fn connect(&self) -> Box<dyn Application> {
        self.database.connect()
    }

    /// A host in this process, as configured by default.
    pub(crate) async fn start(&self) -> Host {
        let catalog = Arc::new(wiring::open_catalog(&self.config, None).unwrap());
        let settings = HostSettings::from(&self.config);
        Host::start(Arc::clone(&self.store), catalog, Arc::new(SystemClock), settings).await.unwrap()
    }

    /// Panics unless `count` deliveries succeeded, and none is left.
    pub(crate) async fn check(&self, host: Host, count: usize) {
        let health = host.health();
        host.stop().await.unwrap();
        assert_eq!((health.succeeded, health.dead, health.retried), (count as u64, 0, 0));
        let mut app = self.connect();
        let left = move || {
            [
                app.count("SELECT count(*) FROM observer_deliveries"),
                app.count("SELECT count(*) FROM observer_inbox"),
                app.count("SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded'"),
            ]
        };
        assert_eq!(tokio::task::spawn_blocking(left).await.unwrap(), [0, 0, count]);
    }
}

/// Returns when so many deliveries have succeeded; panics when none does for a minute.
pub(crate) async fn delivered(host: &Host, count: usize) {
    let (mut last, mut since) = (0, Instant::now());
    while last < count as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let succeeded = host.health().succeeded;
        if succeeded > last {
            (last, since) = (succeeded, Instant::now());
        }
        assert!(since.elapsed() < Duration::from_mins(1), "nothing for a minute: {:?}", host.health());
    }
}
