//! Between definitions and the rows of `tb_observer`: how a row is written and read, and what an application of
//! definitions changes. The same for every backend.

use std::collections::{HashMap, HashSet};

use aftercommit_core::{FailurePolicy, ObserverDefinition, Ordering};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Applied, ObserverRow, Result, StoreError};

/// The fields of a row as they are found. People write them by SQL, so any of it may be wrong.
pub(crate) struct WrittenTexts {
    pub(crate) entity_type: String,
    pub(crate) event_kind: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) on_failure: String,
    pub(crate) alert: Option<String>,
    pub(crate) alert_interval_secs: u32,
    pub(crate) ordering: String,
    pub(crate) priority: u16,
    pub(crate) retry: String,
    pub(crate) actions: String,
}

impl WrittenTexts {
    /// The definition, or which column is wrong and why.
    pub(crate) fn read(self, name: &str, enabled: bool) -> std::result::Result<ObserverDefinition, String> {
        Ok(ObserverDefinition {
            name: name.to_owned(),
            entity_type: self.entity_type,
            event_kind: self
                .event_kind
                .map(|kind| kind.parse())
                .transpose()
                .map_err(|error| format!("event_kind: {error}"))?,
            condition: self.condition,
            on_failure: word::<FailurePolicy>("on_failure", self.on_failure)?,
            alert: self.alert.map(|alert| json("alert", &alert)).transpose()?,
            alert_interval_secs: self.alert_interval_secs,
            ordering: word::<Ordering>("ordering", self.ordering)?,
            enabled,
            priority: self.priority,
            retry: json("retry", &self.retry)?,
            actions: json("actions", &self.actions)?,
        })
    }
}

fn word<T: DeserializeOwned>(column: &str, word: String) -> std::result::Result<T, String> {
    serde_json::from_value(Value::String(word)).map_err(|error| format!("{column}: {error}"))
}

fn json<T: DeserializeOwned>(column: &str, text: &str) -> std::result::Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{column}: {error}"))
}

/// The same fields as they are written. `created_at` and `updated_at` follow.
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) entity_type: String,
    pub(crate) event_kind: Option<&'static str>,
    pub(crate) condition: Option<String>,
    pub(crate) on_failure: String,
    pub(crate) alert: Option<String>,
    pub(crate) alert_interval_secs: u32,
    pub(crate) ordering: String,
    pub(crate) enabled: bool,
    pub(crate) priority: u16,
    pub(crate) retry: String,
    pub(crate) actions: String,
}

impl Written {
    pub(crate) fn of(observer: &ObserverDefinition) -> Self {
        Self {
            name: observer.name.clone(),
            entity_type: observer.entity_type.clone(),
            event_kind: observer.event_kind.map(aftercommit_core::EventKind::as_str),
            condition: observer.condition.clone(),
            on_failure: as_word(&observer.on_failure),
            alert: observer.alert.as_ref().map(as_json),
            alert_interval_secs: observer.alert_interval_secs,
            ordering: as_word(&observer.ordering),
            enabled: observer.enabled,
            priority: observer.priority,
            retry: as_json(&observer.retry),
            actions: as_json(&observer.actions),
        }
    }
}

fn as_word(value: &impl serde::Serialize) -> String {
    as_json(value).trim_matches('"').to_owned()
}

fn as_json(value: &impl serde::Serialize) -> String {
    #[expect(clippy::expect_used, reason = "definitions were read from JSON or its like")]
    serde_json::to_string(value).expect("a definition serialises")
}

/// What has to be done so that the table holds the given observers.
pub(crate) struct Change<'a> {
    pub(crate) create: Vec<&'a ObserverDefinition>,
    pub(crate) update: Vec<&'a ObserverDefinition>,
    unchanged: Vec<&'a ObserverDefinition>,
    pub(crate) remove: Vec<String>,
}

impl<'a> Change<'a> {
    pub(crate) fn between(
        rows: &[ObserverRow],
        observers: &'a [ObserverDefinition],
        prune: bool,
    ) -> Result<Self> {
        let mut names = HashSet::new();
        if let Some(twice) = observers.iter().find(|observer| !names.insert(observer.name.as_str())) {
            return Err(StoreError::Refused(format!(
                "the observer `{}` is there twice; names are unique",
                twice.name
            )));
        }
        let present: HashMap<&str, &ObserverRow> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let mut change =
            Self { create: Vec::new(), update: Vec::new(), unchanged: Vec::new(), remove: Vec::new() };
        for observer in observers {
            match present.get(observer.name.as_str()) {
                None => change.create.push(observer),
                Some(row) if row.definition.as_ref() == Ok(observer) => change.unchanged.push(observer),
                Some(_) => change.update.push(observer),
            }
        }
        if prune {
            change.remove = rows
                .iter()
                .map(|row| row.name.clone())
                .filter(|name| !names.contains(name.as_str()))
                .collect();
        }
        Ok(change)
    }

    pub(crate) fn into_applied(self) -> Applied {
        let names =
            |observers: Vec<&ObserverDefinition>| observers.into_iter().map(|o| o.name.clone()).collect();
        Applied {
            created: names(self.create),
            updated: names(self.update),
            unchanged: names(self.unchanged),
            removed: self.remove,
        }
    }
}
