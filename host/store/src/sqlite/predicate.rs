//! The condition of a capture, as SQL inside its triggers.

use aftercommit_condition::{
    Condition, Diagnostic,
    sql::{self, Column, Columns, EventSql, SqliteKind},
};

use super::{
    capture_table::Table,
    row_json::{self, identifier},
};
use crate::{Result, StoreError};

pub(super) use aftercommit_condition::sql::Predicates;

/// For which changes of the table an event is made. A column that is not captured can be part of it.
pub(super) fn compile(
    table: &Table,
    entity_type: &str,
    key: &[String],
    condition: &str,
) -> Result<Predicates> {
    let refused = |diagnostic: Diagnostic| StoreError::Refused(diagnostic.render(condition, "--when", false));
    let parsed = Condition::parse(condition).map_err(refused)?;
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| Column { name: column.name.clone(), kind: SqliteKind::of_declared(&column.declared) })
        .collect();
    let entity_id = |row: &str| {
        let values: Vec<_> = key.iter().map(|name| format!("{row}.{}", identifier(name))).collect();
        let parts: Vec<_> = key
            .iter()
            .zip(&values)
            .filter_map(|(name, value)| Some((table.column(name)?, value.as_str())))
            .collect();
        format!("({})", row_json::key(&parts))
    };
    let event = EventSql {
        entity_type,
        new_entity_id: &entity_id("NEW"),
        old_entity_id: &entity_id("OLD"),
        occurred_at: "(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')",
        actor: "(SELECT actor FROM observer_context)",
        tenant_id: "(SELECT tenant_id FROM observer_context)",
        traceparent: "(SELECT traceparent FROM observer_context)",
    };
    sql::compile(&parsed, Columns::Sqlite(&columns), &event).map_err(refused)
}
