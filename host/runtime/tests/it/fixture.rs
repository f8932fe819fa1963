//! A runtime, its guests and an action, in one line each.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use aftercommit_core::{ActionConfig, DeliveryId, EntityEvent, EventKind, SystemClock};
use aftercommit_runtime::{
    Attempt, ComponentSource, ConfigureError, ConfiguredAction, DeliveryInfo, Plugin, PreparedEvent, Runtime,
    RuntimeSettings, Secret, SecretError, SecretProvider,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// A built guest: `webhook`, or `test/hostile`.
pub(crate) fn component(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/dist/{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins` first", path.display());
    path
}

/// Secrets of a test.
pub(crate) struct Fixed(pub(crate) HashMap<&'static str, &'static str>);

impl SecretProvider for Fixed {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        Ok(self.0.get(name).map(|text| Secret::new(*text)))
    }

    fn place(&self, name: &str) -> String {
        format!("put {name} into the test")
    }
}

/// Compiled once for all tests.
static CACHE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

pub(crate) fn settings() -> RuntimeSettings {
    RuntimeSettings {
        cache_dir: Some(CACHE.path().join("compiled")),
        max_instances: 8,
        ..RuntimeSettings::default()
    }
}

pub(crate) fn runtime_with(settings: RuntimeSettings, secrets: &[(&'static str, &'static str)]) -> Runtime {
    let secrets = Arc::new(Fixed(secrets.iter().copied().collect()));
    Runtime::new(settings, secrets, Arc::new(SystemClock)).unwrap()
}

pub(crate) async fn plugin_with(name: &str, secrets: &[(&'static str, &'static str)]) -> Arc<Plugin> {
    let runtime = runtime_with(settings(), secrets);
    runtime.load(name, ComponentSource::File(component(name)), None).await.unwrap()
}

pub(crate) async fn plugin(name: &str) -> Arc<Plugin> {
    plugin_with(name, &[]).await
}

/// An action from its JSON, without `type`.
pub(crate) async fn try_configure(
    plugin: &Arc<Plugin>,
    mut written: Value,
) -> Result<ConfiguredAction, ConfigureError> {
    written["type"] = json!(plugin.descriptor().name);
    let action: ActionConfig = serde_json::from_value(written).unwrap();
    plugin.configure(&action, "test-observer").await
}

pub(crate) async fn configure(plugin: &Arc<Plugin>, written: Value) -> ConfiguredAction {
    try_configure(plugin, written).await.unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn event(data: Value) -> PreparedEvent {
    PreparedEvent::new(EntityEvent::new(EventKind::Created, "Order", 7, data))
}

pub(crate) fn delivery() -> DeliveryInfo {
    DeliveryInfo { id: DeliveryId(Uuid::now_v7()), attempt: 1, max_attempts: 3 }
}

pub(crate) async fn run(action: &ConfiguredAction) -> Attempt {
    action.run(&event(json!({"total": 150, "name": "Anna"})), delivery()).await
}

/// What a hostile guest returned in its details.
pub(crate) fn details(attempt: &Attempt) -> Value {
    let outcome = attempt.result.as_ref().unwrap_or_else(|failure| panic!("{failure}"));
    serde_json::from_str(outcome.details.as_deref().unwrap_or("null")).unwrap()
}

/// Code of a failure.
pub(crate) fn code(attempt: &Attempt) -> &str {
    match &attempt.result {
        Ok(outcome) => panic!("{outcome:?}"),
        Err(failure) => failure.problem.code.as_str(),
    }
}
