//! One action of an observer, ready to run, or the reason why it is not.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{
    ActionConfig, FailurePolicy, ObserverDefinition, Ordering, RetryConfig, outcome::Rules,
};
use aftercommit_runtime::{Addressed, ConfiguredAction, PreparedEvent};
use aftercommit_store::Lane;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

use crate::{
    error::{Error, Result},
    plugins::{Catalog, join_grants, layer_limits, share_config},
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
    /// The observer's alert action tells of failures once in so long; none if it has none.
    pub alert_interval: Option<Duration>,
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
            alert_interval: definition
                .alert
                .as_ref()
                .map(|_| Duration::from_secs(u64::from(definition.alert_interval_secs))),
            priority: definition.priority,
            ordering: definition.ordering,
        }
    }

    /// An alert that fails is logged: alerts do not breed alerts.
    fn of_alert(definition: &ObserverDefinition, alert: &ActionConfig) -> Self {
        Self {
            on_failure: FailurePolicy::Log,
            alert_interval: None,
            ordering: Ordering::None,
            ..Self::of(definition, alert)
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
        let name = definition.action_name(position);
        Self::of(&definition.name, name, written.clone(), Policy::of(definition, written), catalog).await
    }

    /// Prepares the action that alerts, if the observer has one.
    pub async fn prepare_alert(definition: &ObserverDefinition, catalog: &Catalog) -> Option<Self> {
        let name = ObserverDefinition::ALERT_ACTION.to_owned();
        let written = ActionConfig { name: Some(name.clone()), ..definition.alert.clone()? };
        let policy = Policy::of_alert(definition, &written);
        Some(Self::of(&definition.name, name, written, policy, catalog).await)
    }

    async fn of(
        observer: &str,
        name: String,
        written: ActionConfig,
        policy: Policy,
        catalog: &Catalog,
    ) -> Self {
        Self {
            observer: observer.into(),
            name: name.into(),
            plugin: written.plugin.as_str().into(),
            configured: configure(observer, &written, catalog).await,
            written,
            policy,
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

    /// Whether a template names the server that its deliveries go to.
    #[must_use]
    pub fn is_many_servers(&self) -> bool {
        self.configured.as_ref().is_ok_and(ConfiguredAction::is_many_servers)
    }

    /// What its deliveries go to at their destination. Those that run together have one address: what their template is.
    #[must_use]
    pub fn addressed(&self) -> Addressed<'_> {
        match self.configured.as_ref().map_or(Addressed::Server, ConfiguredAction::addressed) {
            Addressed::Made(template) if self.written.batch.is_some() => Addressed::Fixed(template),
            addressed => addressed,
        }
    }

    /// The address of an event's delivery; none if it has none, or does not render.
    #[must_use]
    pub fn address(&self, event: &PreparedEvent) -> Option<Arc<str>> {
        self.configured.as_ref().ok()?.address(event)
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
    share_config(&mut action.config, definition.and_then(|plugin| plugin.config.as_ref()));
    action.grants = join_grants(action.grants.as_ref(), definition.and_then(|plugin| plugin.grants.as_ref()));
    action.limits =
        layer_limits(action.limits.as_ref(), definition.and_then(|plugin| plugin.limits.as_ref()));
    Ok(plugin.configure(&action, observer).await?)
}
