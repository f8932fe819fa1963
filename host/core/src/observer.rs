//! Observers as they are written: what to watch for and what to do then.

use serde::{Deserialize, Serialize};

use crate::{action::ActionConfig, event::EventKind, retry::RetryConfig};

/// Watches for events and names the actions to run. The same keys in TOML, YAML, JSON and `tb_observer`.
///
/// This is the written form: its condition, templates and plugin configurations are texts that were not checked yet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserverDefinition {
    /// Unique; letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The entity type to watch; `*` stands for all.
    #[serde(default = "any_entity_type")]
    pub entity_type: String,
    /// The kind of event to watch; absent stands for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_kind: Option<EventKind>,
    /// Only events for which this is true; absent stands for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What to do with a delivery that failed for good.
    #[serde(default)]
    pub on_failure: FailurePolicy,
    /// What tells a person of it where `on_failure` is `alert`; its deliveries' action is called `alert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<ActionConfig>,
    /// No more than one alert in each span of so many seconds.
    #[serde(default = "default_alert_interval")]
    pub alert_interval_secs: u32,
    /// Whether deliveries for one entity wait for each other.
    #[serde(default)]
    pub ordering: Ordering,
    /// A disabled observer matches nothing; what was already due waits.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// 0 to 1000, higher first.
    #[serde(default = "default_priority")]
    pub priority: u16,
    /// When and how often to try again; an action may have its own.
    #[serde(default)]
    pub retry: RetryConfig,
    /// What to run, in this order; each is a delivery of its own.
    #[serde(default)]
    pub actions: Vec<ActionConfig>,
}

fn any_entity_type() -> String {
    "*".to_owned()
}

const fn yes() -> bool {
    true
}

const fn default_alert_interval() -> u32 {
    60
}

const fn default_priority() -> u16 {
    100
}

impl ObserverDefinition {
    /// The greatest `priority`.
    pub const MAX_PRIORITY: u16 = 1000;

    /// The name of the action that alerts.
    pub const ALERT_ACTION: &str = "alert";

    /// An observer of all events that does nothing yet; everything else has its default.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            entity_type: any_entity_type(),
            event_kind: None,
            condition: None,
            on_failure: FailurePolicy::default(),
            alert: None,
            alert_interval_secs: default_alert_interval(),
            ordering: Ordering::default(),
            enabled: true,
            priority: default_priority(),
            retry: RetryConfig::default(),
            actions: Vec::new(),
        }
    }

    /// The name of the action at `position` (from 0): its own, or its type, with `-2`, `-3`, .. for the second and
    /// later unnamed action of one type.
    #[must_use]
    pub fn action_name(&self, position: usize) -> String {
        let action = &self.actions[position];
        if let Some(name) = &action.name {
            return name.clone();
        }
        let earlier = self.actions[..position]
            .iter()
            .filter(|other| other.name.is_none() && other.plugin == action.plugin)
            .count();
        if earlier == 0 { action.plugin.clone() } else { format!("{}-{}", action.plugin, earlier + 1) }
    }
}

/// What happens to a delivery that failed for good.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// It is logged.
    Log,
    /// It is logged at error level with `alert=true`, and told to a person if that is configured.
    Alert,
    /// It goes to the dead letter queue, where a person can see and replay it.
    #[default]
    #[serde(alias = "DLQ")]
    Dlq,
}

/// Whether the deliveries of one observer for one entity wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// They run as they come.
    #[default]
    None,
    /// They run one at a time, in the order of their events.
    PerEntity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_actions_of_one_type_are_told_apart() {
        let mut observer = ObserverDefinition::new("o");
        let mine = ActionConfig { name: Some("mine".into()), ..ActionConfig::new("log") };
        observer.actions =
            vec![ActionConfig::new("log"), mine, ActionConfig::new("log"), ActionConfig::new("webhook")];
        let names: Vec<_> = (0..4).map(|position| observer.action_name(position)).collect();
        assert_eq!(names, ["log", "mine", "log-2", "webhook"]);
    }
}
