//! The plugins this host knows, by name: those built in, and those that the configuration adds. Each is loaded once,
//! when the first observer needs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aftercommit_core::nearest;
use aftercommit_runtime::{ComponentSource, Plugin, Runtime};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use crate::{
    config::{PluginConfig, PluginSource},
    error::{Error, Result},
};

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The plugins this host knows.
pub struct Catalog {
    runtime: Runtime,
    plugins: BTreeMap<String, Known>,
}

struct Known {
    definition: PluginConfig,
    loaded: OnceCell<Arc<Plugin>>,
}

impl Catalog {
    /// The built-in plugins, and `definitions` beside or in the place of them.
    pub fn new(runtime: Runtime, definitions: impl IntoIterator<Item = (String, PluginConfig)>) -> Self {
        let builtin = BUILTIN.iter().map(|(name, _)| {
            let source = PluginSource::Builtin((*name).to_owned());
            ((*name).to_owned(), PluginConfig::new(source))
        });
        let plugins = builtin
            .chain(definitions)
            .map(|(name, definition)| (name, Known { definition, loaded: OnceCell::new() }))
            .collect();
        Self { runtime, plugins }
    }

    /// The engine that runs them.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The names of the secrets that have changed, come or gone since this was called last.
    pub async fn changed_secrets(&self) -> BTreeSet<String> {
        let runtime = self.runtime.clone();
        // Files are read. The task only ends otherwise when the program does.
        tokio::task::spawn_blocking(move || runtime.changed_secrets()).await.unwrap_or_default()
    }

    /// Every plugin's name and definition.
    pub fn definitions(&self) -> impl Iterator<Item = (&str, &PluginConfig)> {
        self.plugins.iter().map(|(name, known)| (name.as_str(), &known.definition))
    }

    /// What the configuration says of a plugin.
    pub fn definition(&self, name: &str) -> Option<&PluginConfig> {
        self.plugins.get(name).map(|known| &known.definition)
    }

    /// The plugin of this name; loads it the first time.
    pub async fn plugin(&self, name: &str) -> Result<Arc<Plugin>> {
        let Some(known) = self.plugins.get(name) else { return Err(self.unknown(name)) };
        known.loaded.get_or_try_init(|| self.load(name, &known.definition)).await.cloned()
    }

    async fn load(&self, name: &str, definition: &PluginConfig) -> Result<Arc<Plugin>> {
        let source = match &definition.source {
            PluginSource::File(path) => ComponentSource::File(path.clone()),
            PluginSource::Builtin(builtin) => {
                let (_, bytes) =
                    BUILTIN.iter().find(|(name, _)| name == builtin).ok_or_else(|| self.unknown(builtin))?;
                ComponentSource::Bytes((*bytes).into())
            }
        };
        self.runtime
            .load(name, source, definition.digest.as_deref())
            .await
            .map_err(|error| Error::PluginFailed { name: name.to_owned(), reason: error.to_string() })
    }

    fn unknown(&self, name: &str) -> Error {
        if BUILTIN.is_empty() {
            let reason = "this program was built without the built-in plugins; run `cargo xtask plugins` and build again";
            return Error::PluginFailed { name: name.to_owned(), reason: reason.to_owned() };
        }
        let names = self.plugins.keys().map(String::as_str);
        Error::UnsupportedActionType {
            action_type: name.to_owned(),
            nearest: nearest(name, names).map(str::to_owned),
        }
    }
}

/// An action's configuration, and beside it what its plugin's actions share. A field and the `_env` field that names its
/// secret are one: what the action says of either goes over what is shared of both.
pub fn share_config(action: &mut Map<String, Value>, plugin: Option<&Value>) {
    let Some(Value::Object(shared)) = plugin else { return };
    let field = |key: &str| key.strip_suffix("_env").unwrap_or(key).to_owned();
    let own: BTreeSet<String> = action.keys().map(|key| field(key)).collect();
    let more = shared.iter().filter(|(key, _)| !own.contains(&field(key)));
    action.extend(more.map(|(key, value)| (key.clone(), value.clone())));
}

/// What an action may do in all: its own grants and those of its plugin; lists are joined.
pub fn join_grants(action: Option<&Value>, plugin: Option<&Value>) -> Option<Value> {
    let (action, plugin) = match (action, plugin) {
        (Some(Value::Object(action)), Some(Value::Object(plugin))) => (action, plugin),
        (action, plugin) => return action.or(plugin).cloned(),
    };
    let keys: BTreeSet<&String> = action.keys().chain(plugin.keys()).collect();
    let joined = keys.into_iter().map(|key| {
        let value = match (action.get(key), plugin.get(key)) {
            (Some(Value::Array(action)), Some(Value::Array(plugin))) => {
                Value::Array(action.iter().chain(plugin).cloned().collect())
            }
            (action, plugin) => action.or(plugin).cloned().unwrap_or_default(),
        };
        (key.clone(), value)
    });
    Some(Value::Object(joined.collect()))
}

/// An action's own limits over those of its plugin.
pub fn layer_limits(action: Option<&Value>, plugin: Option<&Value>) -> Option<Value> {
    match (action, plugin) {
        (Some(Value::Object(action)), Some(Value::Object(plugin))) => {
            let mut layered: Map<String, Value> = plugin.clone();
            layered.extend(action.clone());
            Some(Value::Object(layered))
        }
        (action, plugin) => action.or(plugin).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_action_says_more_than_what_is_shared() {
        let mut action = json!({"token": "${secret:MINE}", "channel": "#a"}).as_object().unwrap().clone();
        share_config(
            &mut action,
            Some(&json!({"token_env": "OURS", "channel": "#b", "api_url": "https://x"})),
        );
        assert_eq!(
            Value::Object(action),
            json!({"token": "${secret:MINE}", "channel": "#a", "api_url": "https://x"})
        );
    }

    #[test]
    fn grants_are_joined_and_limits_layered() {
        let action = json!({"http": ["https://a"], "private_network": true});
        let plugin = json!({"http": ["https://b"], "secrets": ["S"]});
        assert_eq!(
            join_grants(Some(&action), Some(&plugin)),
            Some(json!({"http": ["https://a", "https://b"], "private_network": true, "secrets": ["S"]}))
        );
        assert_eq!(join_grants(None, Some(&plugin)), Some(plugin));
        assert_eq!(
            layer_limits(Some(&json!({"cpu_ms": 1})), Some(&json!({"cpu_ms": 2, "memory_mb": 3}))),
            Some(json!({"cpu_ms": 1, "memory_mb": 3}))
        );
    }
}
