//! One observer.

use aftercommit_core::{FailurePolicy, ObserverDefinition, Ordering};

use super::Reader;
use crate::document::{Node, Problem, Section};

const POLICIES: [(&str, FailurePolicy); 3] =
    [("log", FailurePolicy::Log), ("alert", FailurePolicy::Alert), ("dlq", FailurePolicy::Dlq)];
const ORDERINGS: [(&str, Ordering); 2] = [("none", Ordering::None), ("per_entity", Ordering::PerEntity)];

/// Long enough for any name people write, short enough for every index.
const MAX_NAME_CHARS: usize = 200;

/// A day.
const MAX_ALERT_INTERVAL_SECS: u64 = 86_400;

impl<'a> Reader<'a> {
    pub(super) fn observer(&mut self, path: String, node: &'a Node) -> ObserverDefinition {
        let mut section = Section::new(path, node, self.findings);
        let default = ObserverDefinition::new(name(&mut section));
        let on_failure = section.choice("on_failure", &POLICIES).unwrap_or_default();
        let observer = ObserverDefinition {
            entity_type: entity_type(&mut section).unwrap_or(default.entity_type),
            event_kind: section.parsed("event_kind"),
            condition: self.condition(&mut section),
            on_failure,
            alert: self.alert(&mut section, on_failure),
            alert_interval_secs: section.whole(
                "alert_interval_secs",
                default.alert_interval_secs,
                1..=MAX_ALERT_INTERVAL_SECS,
            ),
            ordering: section.choice("ordering", &ORDERINGS).unwrap_or_default(),
            enabled: section.flag("enabled").unwrap_or(default.enabled),
            priority: section.whole(
                "priority",
                default.priority,
                0..=u64::from(ObserverDefinition::MAX_PRIORITY),
            ),
            retry: super::retry::read(section.section("retry")),
            actions: self.actions(&mut section),
            ..ObserverDefinition::new(default.name)
        };
        if section.node("enabled").is_none() {
            self.unsaid.insert(observer.name.clone());
        }
        section.finish();
        observer
    }
}

fn name(section: &mut Section<'_>) -> String {
    if section.node("name").is_none() {
        section.missing("name", "a unique name for the observer");
    }
    let Some(name) = section.text("name") else { return String::new() };
    let allowed = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || !name.chars().all(allowed) {
        let message = format!(
            "`{name}` is no name for an observer: write up to {MAX_NAME_CHARS} letters, digits, `-`, `_` and `.`"
        );
        section.problem("name", message);
    }
    name
}

fn entity_type(section: &mut Section<'_>) -> Option<String> {
    let entity_type = section.text("entity_type")?;
    if entity_type.is_empty() {
        section.problem(
            "entity_type",
            "an empty entity type matches nothing: leave it out, or write \"*\", for all",
        );
    }
    Some(entity_type)
}

impl<'a> Reader<'a> {
    fn alert(
        &self,
        section: &mut Section<'a>,
        on_failure: FailurePolicy,
    ) -> Option<aftercommit_core::ActionConfig> {
        let path = section.path_of("alert");
        let node = section.node("alert")?;
        if on_failure != FailurePolicy::Alert {
            section.problem(
                "alert",
                "nothing alerts: write `on_failure = \"alert\"` beside it, or leave it out",
            );
        }
        let alert = self.action(&path, node);
        if alert.name.is_some() {
            let message = "the action that alerts has no name of its own: its deliveries are called `alert`";
            self.findings.add(
                Problem::new(format!("{path}.name"), message).at(node.at_pointer("/name").place.clone()),
            );
        }
        Some(alert)
    }

    fn actions(&self, section: &mut Section<'a>) -> Vec<aftercommit_core::ActionConfig> {
        let path = section.path_of("actions");
        let Some(list) = section.node("actions") else {
            section.missing("actions", "what to run, at least one");
            return Vec::new();
        };
        let items = self.items(&path, list);
        if items.is_empty() && matches!(list.content, crate::document::Content::List(_)) {
            section.problem("actions", "there is no action in it: name at least one");
        }
        let actions: Vec<_> = items.iter().map(|(path, node)| self.action(path, node)).collect();
        self.report_twin_actions(&items, &actions, section.node("alert").is_some());
        actions
    }

    fn report_twin_actions(
        &self,
        items: &[(String, &Node)],
        actions: &[aftercommit_core::ActionConfig],
        alerts: bool,
    ) {
        let mut observer = ObserverDefinition::new("");
        observer.actions = actions.to_vec();
        let names: Vec<String> = (0..actions.len()).map(|position| observer.action_name(position)).collect();
        for (position, (path, node)) in items.iter().enumerate() {
            if alerts && names[position] == ObserverDefinition::ALERT_ACTION {
                let message =
                    "the name `alert` is taken by the action that alerts: give this one another `name`";
                self.findings
                    .add(Problem::new(path.clone(), message).at(node.at_pointer("/name").place.clone()));
            }
            let twin = names[..position].iter().position(|name| *name == names[position]);
            if let Some(twin) = twin.filter(|_| !names[position].is_empty()) {
                let message = format!("the action's name `{}` is taken by actions[{twin}]", names[position]);
                self.findings
                    .add(Problem::new(path.clone(), message).at(node.at_pointer("/name").place.clone()));
            }
        }
    }
}
