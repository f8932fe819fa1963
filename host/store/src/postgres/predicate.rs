//! The condition of a capture, as SQL inside its trigger.

use std::collections::BTreeSet;

use aftercommit_condition::{
    Condition, Diagnostic,
    sql::{self, Column, Columns, EventSql, PostgresKind},
    syntax::{EventField, Expression, OperandKind},
};

use super::{
    capture_table::Table,
    session::Session,
    sql_text::literal,
    statement::{Record, statements},
};
use crate::{Capture, Result, StoreError};

pub(super) use aftercommit_condition::sql::Predicates;

statements! {
    COLUMN_KINDS = "-- column_kinds
SELECT c.name, b.typname::text AS base, b.typtype::text AS kind, b.oid < 16384 AS is_built_in
FROM observer_columns($1, 'NEW', 'OLD') AS c JOIN pg_type AS b ON b.oid = observer_base_type(c.type)
ORDER BY c.place";
    KEYS = "-- keys
SELECT observer_key_expression($1, 'NEW', $2) AS new_key, observer_key_expression($1, 'OLD', $2) AS old_key";
}

/// The time of a change, in a trigger.
pub(super) const CHANGED_AT: &str = "pg_catalog.clock_timestamp()";

const SETTING: [&str; 3] = ["actor", "tenant_id", "traceparent"];

/// A condition in SQL.
pub(super) struct Compiled {
    /// For which changes of the table an event is made.
    pub(super) predicates: Predicates,
    /// The columns that it reads, of the key too. One that is not captured can be among them.
    pub(super) columns: Vec<String>,
    /// The settings that it relies on.
    pub(super) settings: Vec<&'static str>,
}

/// Makes SQL of a condition. `at` is an SQL expression for the time of the change, `tenant` the tenant of changes that name
/// none.
pub(super) async fn compile(
    session: &mut Session<'_>,
    table: &Table,
    (entity_type, key_columns): (&str, &[String]),
    condition: &str,
    (at, tenant): (&str, Option<&str>),
) -> Result<Compiled> {
    let compiled = attempt(session, table, (entity_type, key_columns), condition, (at, tenant)).await?;
    compiled.map_err(|diagnostic| StoreError::Refused(diagnostic.render(condition, "--when", false)))
}

/// Why no SQL can be made of the condition of a capture for the table as it is now.
pub(super) async fn misfit(
    session: &mut Session<'_>,
    table: &Table,
    capture: &Capture,
) -> Result<Option<String>> {
    let Some(condition) = &capture.condition else { return Ok(None) };
    let names = (capture.entity_type.as_str(), &capture.key[..]);
    let compiled = attempt(session, table, names, condition, (CHANGED_AT, None)).await?;
    Ok(compiled.err().map(|diagnostic| diagnostic.message))
}

async fn attempt(
    session: &mut Session<'_>,
    table: &Table,
    (entity_type, key_columns): (&str, &[String]),
    condition: &str,
    (at, tenant): (&str, Option<&str>),
) -> Result<std::result::Result<Compiled, Diagnostic>> {
    let parsed = match Condition::parse(condition) {
        Ok(parsed) => parsed,
        Err(diagnostic) => return Ok(Err(diagnostic)),
    };
    let records = COLUMN_KINDS.call().bind(table.oid).all(session).await?;
    let columns = records.iter().map(column).collect::<Result<Vec<_>>>()?;
    let keys = KEYS.call().bind(table.oid).bind(key_columns).optional(session).await?;
    let key = |side: &str| match &keys {
        Some(record) => {
            Ok(record.get::<Option<String>>(side)?.unwrap_or_else(|| "NULL::pg_catalog.text".into()))
        }
        None => Ok("NULL::pg_catalog.text".to_owned()),
    };
    let (new_key, old_key) = (key("new_key")?, key("old_key")?);
    // A setting that was set once in a session is empty from then on, which is the same as none.
    let [actor, tenant_id, traceparent] = SETTING.map(|name| {
        let value = format!("pg_catalog.current_setting('aftercommit.{name}', true)");
        format!("(CASE WHEN {value} OPERATOR(pg_catalog.<>) '' THEN {value} END)")
    });
    let tenant_id = match tenant {
        Some(tenant) => format!("coalesce({tenant_id}, {})", literal(tenant)),
        None => tenant_id,
    };
    let occurred_at = format!(
        "pg_catalog.concat(pg_catalog.btrim(pg_catalog.to_json(pg_catalog.timezone('00:00:00'::pg_catalog.interval, {at}))\
         ::pg_catalog.text, '\"'), '+00:00')"
    );
    let event = EventSql {
        entity_type,
        new_entity_id: &format!("({new_key})"),
        old_entity_id: &format!("({old_key})"),
        occurred_at: &occurred_at,
        actor: &actor,
        tenant_id: &tenant_id,
        traceparent: &traceparent,
    };
    let predicates = match sql::compile(&parsed, Columns::Postgres(&columns), &event) {
        Ok(predicates) => predicates,
        Err(diagnostic) => return Ok(Err(diagnostic)),
    };
    let has = |kind: PostgresKind| columns.iter().any(|column| column.kind == kind);
    let mut settings = Vec::new();
    if has(PostgresKind::Float) {
        settings.push("extra_float_digits");
    }
    if has(PostgresKind::TimestampTz) {
        settings.push("timezone");
    }
    Ok(Ok(Compiled { predicates, columns: columns_read(parsed.tree(), key_columns), settings }))
}

fn columns_read(condition: &Expression, key: &[String]) -> Vec<String> {
    let mut columns: BTreeSet<&String> = BTreeSet::new();
    for operand in condition.operands() {
        match &operand.kind {
            OperandKind::Field(field) => columns.extend([&field.root.text]),
            OperandKind::Event(EventField::EntityId) => columns.extend(key),
            _ => {}
        }
    }
    columns.into_iter().cloned().collect()
}

fn column(record: &Record) -> Result<Column<PostgresKind>> {
    let kind = match (record.get("kind")?, record.get("base")?) {
        ("e", _) => PostgresKind::Enum,
        _ if !record.get::<bool>("is_built_in")? => PostgresKind::Other,
        (_, "int2" | "int4" | "int8") => PostgresKind::Integer,
        (_, "numeric") => PostgresKind::Numeric,
        (_, "float4" | "float8") => PostgresKind::Float,
        (_, "bool") => PostgresKind::Boolean,
        (_, "text" | "varchar" | "name") => PostgresKind::Text,
        (_, "bpchar") => PostgresKind::Character,
        (_, "uuid") => PostgresKind::Uuid,
        (_, "date") => PostgresKind::Date,
        (_, "timestamp") => PostgresKind::Timestamp,
        (_, "timestamptz") => PostgresKind::TimestampTz,
        (_, "json") => PostgresKind::Json,
        (_, "jsonb") => PostgresKind::Jsonb,
        _ => PostgresKind::Other,
    };
    Ok(Column { name: record.get("name")?, kind })
}
