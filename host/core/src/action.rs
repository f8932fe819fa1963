//! Actions as they are written: whose keys are the host's and whose the plugin's.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::retry::RetryConfig;

/// One action: a plugin's name, what the host does for it, and the plugin's own configuration.
///
/// `type`, `name`, `timeout_ms`, `retry`, `batch`, `grants` and `limits` are the host's; every other key is the plugin's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct ActionConfig {
    /// The plugin's name, written as `type`.
    pub plugin: String,
    /// The action's name within its observer.
    pub name: Option<String>,
    /// Wall time of one attempt, from 1 to [`ActionConfig::MAX_TIMEOUT_MS`].
    pub timeout_ms: Option<u64>,
    /// In the place of the observer's `retry`.
    pub retry: Option<RetryConfig>,
    /// Several deliveries in one call, where the plugin can.
    pub batch: Option<BatchConfig>,
    /// As written; the runtime reads it.
    pub grants: Option<Value>,
    /// As written; the runtime reads it.
    pub limits: Option<Value>,
    /// Everything else: the plugin's configuration.
    pub config: Map<String, Value>,
}

impl ActionConfig {
    /// The keys of an action that are not the plugin's.
    pub const HOST_KEYS: [&'static str; 7] =
        ["type", "name", "timeout_ms", "retry", "batch", "grants", "limits"];

    /// Longest `timeout_ms`: an hour. So long an attempt that hangs may hold a slot of its destination, an instance and a place of
    /// its host; work that takes longer is not an action's, but that of a job which the action starts.
    pub const MAX_TIMEOUT_MS: u64 = 3_600_000;

    /// An action of the given type, without configuration.
    ///
    /// ```
    /// use aftercommit_core::ActionConfig;
    /// let action = ActionConfig::new("webhook").with("url", "https://example.com/hook");
    /// assert_eq!(action.config["url"], "https://example.com/hook");
    /// ```
    #[must_use]
    pub fn new(plugin: impl Into<String>) -> Self {
        Self {
            plugin: plugin.into(),
            name: None,
            timeout_ms: None,
            retry: None,
            batch: None,
            grants: None,
            limits: None,
            config: Map::new(),
        }
    }

    /// The same action with one more key of the plugin's configuration.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}

/// An action whose host keys are wrong.
#[derive(Debug, thiserror::Error)]
pub enum BadAction {
    /// There is no `type`.
    #[error("an action needs `type`, the name of a plugin")]
    NoType,
    /// A host key has a value of another type.
    #[error("`{key}`: {why}")]
    Key {
        /// Which key.
        key: &'static str,
        /// What was expected.
        why: serde_json::Error,
    },
}

impl TryFrom<Map<String, Value>> for ActionConfig {
    type Error = BadAction;

    // By hand: serde's `flatten` would buffer the numbers of the configuration and lose their digits.
    fn try_from(mut map: Map<String, Value>) -> Result<Self, BadAction> {
        fn take<T: serde::de::DeserializeOwned>(
            map: &mut Map<String, Value>,
            key: &'static str,
        ) -> Result<Option<T>, BadAction> {
            map.remove(key)
                .map_or(Ok(None), serde_json::from_value)
                .map_err(|why| BadAction::Key { key, why })
        }
        Ok(Self {
            plugin: take(&mut map, "type")?.ok_or(BadAction::NoType)?,
            name: take(&mut map, "name")?,
            timeout_ms: take(&mut map, "timeout_ms")?,
            retry: take(&mut map, "retry")?,
            batch: take(&mut map, "batch")?,
            grants: map.remove("grants"),
            limits: map.remove("limits"),
            config: map,
        })
    }
}

impl From<ActionConfig> for Map<String, Value> {
    fn from(action: ActionConfig) -> Self {
        let mut map = Self::new();
        let host_keys = [
            ("type", Some(Value::String(action.plugin))),
            ("name", action.name.map(Value::String)),
            ("timeout_ms", action.timeout_ms.map(Value::from)),
            ("retry", action.retry.map(|retry| serde_json::json!(retry))),
            ("batch", action.batch.map(|batch| serde_json::json!(batch))),
            ("grants", action.grants),
            ("limits", action.limits),
        ];
        for (key, value) in host_keys {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        }
        map.extend(action.config);
        map
    }
}

/// How many deliveries of an action run in one call, and how long they wait for each other. Each keeps its own outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// A batch of so many starts at once; 1 to 1000.
    pub max_items: u32,
    /// A smaller one starts so long after its first delivery came; 0 to 60,000.
    pub max_wait_ms: u64,
}

impl BatchConfig {
    /// The greatest `max_items`: as many deliveries as a host owns by default.
    pub const MAX_ITEMS: u32 = 1000;
    /// The greatest `max_wait_ms`: a minute. What waits holds a place of its host.
    pub const MAX_WAIT_MS: u64 = 60_000;

    /// The keys whose values are out of range, each with what it must be.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(1..=Self::MAX_ITEMS).contains(&self.max_items) {
            problems.push(("max_items", format!("must be from 1 to {}", Self::MAX_ITEMS)));
        }
        if self.max_wait_ms > Self::MAX_WAIT_MS {
            problems.push(("max_wait_ms", format!("must be from 0 to {}", Self::MAX_WAIT_MS)));
        }
        problems
    }
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { max_items: 100, max_wait_ms: 100 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_action_splits_into_host_keys_and_configuration() {
        let written = json!({"type": "webhook", "timeout_ms": 10, "url": "https://example.com", "retry": {"max_attempts": 9}});
        let action: ActionConfig = serde_json::from_value(written).unwrap();
        assert_eq!(action.timeout_ms, Some(10));
        assert_eq!(action.retry.as_ref().unwrap().max_attempts, 9);
        assert_eq!(action.config.len(), 1);
        let again: ActionConfig = serde_json::from_value(serde_json::to_value(&action).unwrap()).unwrap();
        assert_eq!(again, action);
    }

    #[test]
    fn a_batch_has_defaults_and_bounds() {
        let read = |written: Value| serde_json::from_value::<BatchConfig>(written).unwrap();
        assert_eq!(read(json!({})), BatchConfig { max_items: 100, max_wait_ms: 100 });
        let action: ActionConfig =
            serde_json::from_value(json!({"type": "log", "batch": {"max_items": 7}})).unwrap();
        assert_eq!(action.batch, Some(BatchConfig { max_items: 7, max_wait_ms: 100 }));
        assert_eq!(
            serde_json::to_value(&action).unwrap()["batch"],
            json!({"max_items": 7, "max_wait_ms": 100})
        );
        let wrong = |written| read(written).problems().iter().map(|(key, _)| *key).collect::<Vec<_>>();
        assert_eq!(wrong(json!({"max_items": 1000, "max_wait_ms": 60_000})), [""; 0]);
        assert_eq!(wrong(json!({"max_items": 0, "max_wait_ms": 60_001})), ["max_items", "max_wait_ms"]);
        assert_eq!(wrong(json!({"max_items": 1001})), ["max_items"]);
    }

    #[test]
    fn a_wrong_host_key_is_named() {
        let error =
            serde_json::from_value::<ActionConfig>(json!({"type": "log", "timeout_ms": "soon"})).unwrap_err();
        assert!(error.to_string().starts_with("`timeout_ms`: "), "{error}");
        let error = serde_json::from_value::<ActionConfig>(json!({"url": "x"})).unwrap_err();
        assert!(error.to_string().contains("needs `type`"), "{error}");
    }
}
