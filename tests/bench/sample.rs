//! The event that the measurements without a database use, and the plugins that they load.

use std::{path::PathBuf, sync::Arc};

use aftercommit_core::{ActionConfig, DeliveryId, EntityEvent, EventKind, SystemClock};
use aftercommit_runtime::{
    ComponentSource, ConfiguredAction, DeliveryInfo, FileSecrets, Plugin, Runtime, RuntimeSettings,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// A signing secret made for tests.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An order that was shipped.
pub(crate) fn event() -> EntityEvent {
    let row = |status: &str| {
        json!({
            "id": 7, "customer": "customer 7", "country": "AT", "status": status, "total": 150.25,
            "note": "a note of ordinary length for order 7",
        })
    };
    EntityEvent::new(EventKind::Updated, "Order", 7, row("shipped")).with_old(row("pending"))
}

pub(crate) fn delivery() -> DeliveryInfo {
    DeliveryInfo { id: DeliveryId(Uuid::now_v7()), attempt: 1, max_attempts: 3 }
}

/// A built plugin: `webhook`, `test/noop`.
pub(crate) fn component(name: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/dist/{name}.wasm"));
    assert!(file.exists(), "{} is missing: run `cargo xtask plugins`", file.display());
    file
}

/// An engine, and the folder of its one secret, `WEBHOOK_SECRET`.
pub(crate) struct Engine {
    runtime: Runtime,
    _secrets: TempDir,
}

impl Engine {
    pub(crate) fn start() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        std::fs::write(secrets.path().join("WEBHOOK_SECRET"), SECRET).unwrap();
        let provider = Arc::new(FileSecrets::new(secrets.path()));
        let runtime = Runtime::new(RuntimeSettings::default(), provider, Arc::new(SystemClock)).unwrap();
        Self { runtime, _secrets: secrets }
    }

    pub(crate) async fn load(&self, name: &str) -> Arc<Plugin> {
        self.runtime.load(name, ComponentSource::File(component(name)), None).await.unwrap()
    }
}

/// An action of a plugin, as an operator would write it.
pub(crate) async fn action(plugin: &Arc<Plugin>, mut written: Value) -> ConfiguredAction {
    written["type"] = json!(plugin.name());
    let written: ActionConfig = serde_json::from_value(written).unwrap();
    plugin.configure(&written, "bench").await.unwrap()
}
