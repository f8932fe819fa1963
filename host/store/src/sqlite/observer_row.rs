//! One row of `tb_observer`, as a definition. People write this table by SQL, so any of it may be wrong.

use aftercommit_core::{FailurePolicy, ObserverDefinition, Ordering};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::statement::Record;
use crate::{ObserverRow, Result};

/// Reads a row. What is wrong with its definition is part of the answer, not an error.
pub(super) fn read(record: &Record) -> Result<ObserverRow> {
    let name: String = record.get("name")?;
    let enabled: bool = record.get::<i64>("enabled")? != 0;
    Ok(ObserverRow {
        definition: definition(record, &name, enabled),
        name,
        enabled,
        load_error: record.get("load_error")?,
        updated_at: record.parse("updated_at")?,
    })
}

fn definition(record: &Record, name: &str, enabled: bool) -> std::result::Result<ObserverDefinition, String> {
    let text = |column: &str| record.get::<String>(column).map_err(|error| error.to_string());
    let optional = |column: &str| record.get::<Option<String>>(column).map_err(|error| error.to_string());
    Ok(ObserverDefinition {
        name: name.to_owned(),
        entity_type: text("entity_type")?,
        event_kind: optional("event_kind")?
            .map(|kind| kind.parse())
            .transpose()
            .map_err(|error| format!("event_kind: {error}"))?,
        condition: optional("condition")?,
        on_failure: word::<FailurePolicy>("on_failure", text("on_failure")?)?,
        ordering: word::<Ordering>("ordering", text("ordering")?)?,
        enabled,
        priority: record.get("priority").map_err(|error| error.to_string())?,
        retry: json("retry", &text("retry")?)?,
        actions: json("actions", &text("actions")?)?,
    })
}

fn word<T: DeserializeOwned>(column: &str, word: String) -> std::result::Result<T, String> {
    serde_json::from_value(Value::String(word)).map_err(|error| format!("{column}: {error}"))
}

fn json<T: DeserializeOwned>(column: &str, text: &str) -> std::result::Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{column}: {error}"))
}

/// The same fields as they are written. `created_at` and `updated_at` follow.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) entity_type: String,
    pub(super) event_kind: Option<&'static str>,
    pub(super) condition: Option<String>,
    pub(super) on_failure: String,
    pub(super) ordering: String,
    pub(super) enabled: bool,
    pub(super) priority: u16,
    pub(super) retry: String,
    pub(super) actions: String,
}

impl Written {
    pub(super) fn of(observer: &ObserverDefinition) -> Self {
        Self {
            name: observer.name.clone(),
            entity_type: observer.entity_type.clone(),
            event_kind: observer.event_kind.map(aftercommit_core::EventKind::as_str),
            condition: observer.condition.clone(),
            on_failure: as_word(&observer.on_failure),
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
