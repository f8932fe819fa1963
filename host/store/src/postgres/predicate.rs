//! The condition of a capture, as SQL inside its trigger.

use aftercommit_condition::{
    Condition,
    sql::{self, Column, Columns, EventSql, PostgresKind},
};

use super::{
    capture_function::literal,
    capture_table::Table,
    session::Session,
    statement::{Record, statements},
};
use crate::{Result, StoreError};

pub(super) use aftercommit_condition::sql::Predicates;

statements! {
    COLUMN_KINDS = "-- column_kinds
SELECT c.name, b.typname::text AS base, b.typtype::text AS kind, b.oid < 16384 AS is_built_in
FROM observer_columns($1, 'NEW', 'OLD') AS c JOIN pg_type AS b ON b.oid = observer_base_type(c.type)
ORDER BY c.place";
    KEYS = "-- keys
SELECT observer_key_expression($1, 'NEW', $2) AS new_key, observer_key_expression($1, 'OLD', $2) AS old_key";
}

const SETTING: [&str; 3] = ["actor", "tenant_id", "traceparent"];

/// For which changes of the table an event is made, and the settings that the condition relies on. A column that is not captured
/// can be part of it. `at` is an SQL expression for the time of the change,
/// `tenant` the tenant of changes that name none.
pub(super) async fn compile(
    session: &mut Session<'_>,
    table: &Table,
    (entity_type, key): (&str, &[String]),
    condition: &str,
    (at, tenant): (&str, Option<&str>),
) -> Result<(Predicates, Vec<&'static str>)> {
    let refused = |diagnostic: &aftercommit_condition::Diagnostic| {
        StoreError::Refused(diagnostic.render(condition, "--when", false))
    };
    let parsed = Condition::parse(condition).map_err(|diagnostic| refused(&diagnostic))?;
    let records = COLUMN_KINDS.call().bind(table.oid).all(session).await?;
    let columns = records.iter().map(column).collect::<Result<Vec<_>>>()?;
    let keys = KEYS.call().bind(table.oid).bind(key).optional(session).await?;
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
    let predicates = sql::compile(&parsed, Columns::Postgres(&columns), &event)
        .map_err(|diagnostic| refused(&diagnostic))?;
    let has = |kind: PostgresKind| columns.iter().any(|column| column.kind == kind);
    let mut settings = Vec::new();
    if has(PostgresKind::Float) {
        settings.push("extra_float_digits");
    }
    if has(PostgresKind::TimestampTz) {
        settings.push("timezone");
    }
    Ok((predicates, settings))
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
