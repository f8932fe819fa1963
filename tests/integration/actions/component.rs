//! A built component in a runtime of this process: what the tables of failures are tested with.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use aftercommit_core::{ActionConfig, Clock, DeliveryId, EntityEvent, EventKind, SystemClock};
use aftercommit_runtime::{
    Attempt, BatchItem, ComponentSource, ConfigureError, ConfiguredAction, DeliveryInfo, Plugin,
    PreparedEvent, Runtime, RuntimeSettings, Secret, SecretError, SecretProvider,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Secrets of a test.
pub(super) struct Secrets(HashMap<String, String>);

impl SecretProvider for Secrets {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        Ok(self.0.get(name).map(|text| Secret::new(text.clone())))
    }

    fn place(&self, name: &str) -> String {
        format!("set {name} in the test")
    }
}

/// An action of a built-in plugin.
pub(super) struct Action(ConfiguredAction);

/// Loads a built-in plugin and makes an action of what is written beside `type`.
pub(super) async fn configure(
    plugin: &str,
    written: Value,
    secrets: &[(&str, &str)],
    extra_ca_pem: Vec<Vec<u8>>,
) -> Result<Action, ConfigureError> {
    action_of(&load(plugin, secrets, extra_ca_pem, Arc::new(SystemClock)).await, written).await
}

/// A built-in plugin in a runtime of its own.
pub(super) async fn load(
    plugin: &str,
    secrets: &[(&str, &str)],
    extra_ca_pem: Vec<Vec<u8>>,
    clock: Arc<dyn Clock>,
) -> Arc<Plugin> {
    let settings = RuntimeSettings {
        cache_dir: Some(compiled()),
        max_instances: 8,
        extra_ca_pem,
        ..RuntimeSettings::default()
    };
    let secrets = secrets.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let runtime = Runtime::new(settings, Arc::new(Secrets(secrets)), clock).unwrap();
    let bytes = std::fs::read(built(plugin)).unwrap();
    runtime.load(plugin, ComponentSource::Bytes(bytes.into()), None).await.unwrap()
}

/// An action of a plugin.
pub(super) async fn action_of(plugin: &Arc<Plugin>, mut written: Value) -> Result<Action, ConfigureError> {
    written["type"] = json!(plugin.name());
    let action: ActionConfig = serde_json::from_value(written).unwrap();
    plugin.configure(&action, "test-observer").await.map(Action)
}

/// The same for a configuration that is right.
pub(super) async fn action(plugin: &str, written: Value, secrets: &[(&str, &str)]) -> Action {
    configure(plugin, written, secrets, Vec::new()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// What an operator is told of a configuration that is wrong.
pub(super) async fn refused(plugin: &str, written: Value) -> String {
    match configure(plugin, written, &[], Vec::new()).await {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    }
}

/// Where compiled plugins are kept: compiled once for all tests.
pub(super) fn compiled() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// The component of a built-in plugin.
pub(crate) fn built(plugin: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/dist/{plugin}.wasm"));
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins` first", path.display());
    path
}

impl Action {
    /// One attempt for an event of order 7.
    pub(super) async fn run(&self, kind: EventKind, row: Value) -> Attempt {
        let event = PreparedEvent::new(EntityEvent::new(kind, "Order", 7, row));
        self.attempt(&event, Uuid::now_v7()).await
    }

    /// One attempt for an event and a delivery's id.
    pub(super) async fn attempt(&self, event: &PreparedEvent, id: Uuid) -> Attempt {
        self.0.run(event, DeliveryInfo { id: DeliveryId(id), attempt: 1, max_attempts: 3 }).await
    }

    /// One attempt for each of these events, in one call.
    pub(super) async fn run_batch(&self, events: &[PreparedEvent]) -> Vec<Attempt> {
        let delivery = || DeliveryInfo { id: DeliveryId(Uuid::now_v7()), attempt: 1, max_attempts: 3 };
        let items: Vec<_> = events.iter().map(|event| BatchItem { event, delivery: delivery() }).collect();
        self.0.run_batch(&items).await
    }

    /// What bounds on concurrency are counted by.
    pub(super) fn destination(&self) -> &str {
        self.0.destination()
    }

    /// The origins that it may send to.
    pub(super) fn origins(&self) -> Vec<String> {
        self.0.effective_grants().origins.iter().map(ToString::to_string).collect()
    }
}

/// Class and code of an attempt's failure, `throttled after 2000 ms: ratelimited`; `done` for a success.
pub(super) fn told(attempt: &Attempt) -> String {
    match &attempt.result {
        Ok(_) => "done".to_owned(),
        Err(failure) => {
            let after = failure.retry_after.map(|after| format!(" after {} ms", after.as_millis()));
            format!("{}{}: {}", failure.class, after.unwrap_or_default(), failure.problem.code)
        }
    }
}

/// The details of a success.
pub(super) fn details(attempt: &Attempt) -> Value {
    let outcome = attempt.result.as_ref().unwrap_or_else(|failure| panic!("{failure}"));
    outcome.details.as_deref().map_or(Value::Null, |details| serde_json::from_str(details).unwrap())
}
