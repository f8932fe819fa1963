//! One action of an observer, ready to run, or the reason why it is not.

use std::sync::Arc;

use aftercommit_core::{
    ActionConfig, FailurePolicy, ObserverDefinition, Ordering, RetryConfig, outcome::Rules,
};
use aftercommit_runtime::ConfiguredAction;
use aftercommit_store::Lane;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

use crate::{
    error::{Error, Result},
    plugins::{Catalog, join_grants, layer_limits},
};

/// One action of an observer.
pub struct Action {
    /// The observer's name.
    pub observer: Arc<str>,
    /// The action's name within its observer.
    pub name: Arc<str>,
    /// Its plugin's name.
    pub plugin: Arc<str>,
    /// As written.
    pub written: ActionConfig,
    /// What decides after an attempt.
    pub policy: Policy,
    /// Ready to run, or why not.
    pub configured: std::result::Result<ConfiguredAction, Error>,
}

/// What decides after an attempt, and where a new delivery stands in the queue.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The action's retry policy, or else its observer's.
    pub retry: RetryConfig,
    /// Its observer's.
    pub on_failure: FailurePolicy,
    /// Its observer's.
    pub priority: u16,
    /// Its observer's.
    pub ordering: Ordering,
}

impl Policy {
    fn of(definition: &ObserverDefinition, action: &ActionConfig) -> Self {
        Self {
            retry: action.retry.clone().unwrap_or_else(|| definition.retry.clone()),
            on_failure: definition.on_failure,
            priority: definition.priority,
            ordering: definition.ordering,
        }
    }

    /// What an attempt is judged by.
    #[must_use]
    pub const fn rules(&self) -> Rules<'_> {
        Rules { retry: &self.retry, on_failure: self.on_failure }
    }
}

impl Action {
    /// Prepares the action at `position` of an observer: loads its plugin, checks its configuration, compiles its
    /// templates and takes its secrets.
    pub async fn prepare(definition: &ObserverDefinition, position: usize, catalog: &Catalog) -> Self {
        let written = &definition.actions[position];
        Self {
            observer: definition.name.as_str().into(),
            name: definition.action_name(position).into(),
            plugin: written.plugin.as_str().into(),
            written: written.clone(),
            policy: Policy::of(definition, written),
            configured: configure(&definition.name, written, catalog).await,
        }
    }

    /// Its deliveries, as the store names them.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { observer: Arc::clone(&self.observer), action: Arc::clone(&self.name) }
    }

    /// Of the action as written: another definition has another one.
    #[must_use]
    pub fn digest(&self) -> String {
        let written = serde_json::to_vec(&self.written).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &written))
    }

    /// Whether all its events go to the same URLs.
    #[must_use]
    pub fn is_one_endpoint(&self) -> bool {
        self.configured.as_ref().is_ok_and(ConfiguredAction::is_one_endpoint)
    }

    /// What deliveries to the same place share: they are bounded together.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.configured.as_ref().map_or(&self.name, ConfiguredAction::destination)
    }
}

async fn configure(observer: &str, written: &ActionConfig, catalog: &Catalog) -> Result<ConfiguredAction> {
    let plugin = catalog.plugin(&written.plugin).await?;
    let definition = catalog.definition(&written.plugin);
    let mut action = written.clone();
    action.grants = join_grants(action.grants.as_ref(), definition.and_then(|plugin| plugin.grants.as_ref()));
    action.limits =
        layer_limits(action.limits.as_ref(), definition.and_then(|plugin| plugin.limits.as_ref()));
    Ok(plugin.configure(&action, observer).await?)
}
