//! One row of `tb_observer`, as a definition. People write this table by SQL, so any of it may be wrong.

use aftercommit_core::ObserverDefinition;

use super::statement::Record;
use crate::{ObserverRow, Result, observer_change::WrittenTexts};

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
    let written = WrittenTexts {
        entity_type: text("entity_type")?,
        event_kind: optional("event_kind")?,
        condition: optional("condition")?,
        on_failure: text("on_failure")?,
        alert: optional("alert")?,
        alert_interval_secs: record.get("alert_interval_secs").map_err(|error| error.to_string())?,
        ordering: text("ordering")?,
        priority: record.get("priority").map_err(|error| error.to_string())?,
        retry: text("retry")?,
        actions: text("actions")?,
    };
    written.read(name, enabled)
}
