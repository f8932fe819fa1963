//! Between definitions and the rows of `tb_observer`: how a row is written and read, and what an application of
//! definitions changes. The same for every backend.

use std::collections::{HashMap, HashSet};

use aftercommit_core::{ObserverDefinition, Timestamp};
use serde::de::DeserializeOwned;

use crate::{Applied, ObserverRow, Result, StoreError, row::Row};

impl ObserverRow {
    /// People write this table by SQL, so any of it may be wrong: what is wrong with a definition is part of the answer, not an
    /// error.
    pub(crate) fn read(row: &impl Row) -> Self {
        let updated_at = row.time("updated_at");
        let definition = definition(row).and_then(|definition| match &updated_at {
            Ok(_) => Ok(definition),
            Err(error) => Err(error.to_string()),
        });
        Self {
            name: row.shown("name"),
            definition,
            // A row that does not say is no reason to stop the version that runs.
            enabled: row.flag("enabled").unwrap_or(true),
            load_error: row.optional_string("load_error").unwrap_or_else(|error| Some(error.to_string())),
            updated_at: updated_at.unwrap_or(Timestamp::from_micros(0)),
        }
    }
}

/// The definition, or which column is wrong and why.
fn definition(row: &impl Row) -> std::result::Result<ObserverDefinition, String> {
    let told = |error: StoreError| error.to_string();
    let name = row.string("name").map_err(told)?;
    let enabled = row.flag("enabled").map_err(told)?;
    let text = |column| row.text(column).map_err(told);
    let optional = |column| row.optional_text(column).map_err(told);
    let priority = row.integer("priority").map_err(told)?;
    let event_kind = optional("event_kind")?.map(str::parse).transpose();
    Ok(ObserverDefinition {
        name,
        entity_type: text("entity_type")?.to_owned(),
        event_kind: event_kind.map_err(|error| format!("event_kind: {error}"))?,
        condition: optional("condition")?.map(str::to_owned),
        on_failure: word("on_failure", text("on_failure")?)?,
        alert: optional("alert")?.map(|alert| json("alert", alert)).transpose()?,
        alert_interval_secs: row.count("alert_interval_secs").map_err(told)?,
        ordering: word("ordering", text("ordering")?)?,
        enabled,
        priority: priority.try_into().map_err(|_| format!("priority: {priority} is not from 0 to 1000"))?,
        retry: json("retry", text("retry")?)?,
        actions: json("actions", text("actions")?)?,
    })
}

fn word<T: DeserializeOwned>(column: &str, word: &str) -> std::result::Result<T, String> {
    serde_json::from_value(word.into()).map_err(|error| format!("{column}: {error}"))
}

fn json<T: DeserializeOwned>(column: &str, text: &str) -> std::result::Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{column}: {error}"))
}

/// The fields of a row as they are written. `created_at` and `updated_at` follow.
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
