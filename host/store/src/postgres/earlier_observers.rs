//! Reads the table of an earlier system.
//!
//! It belongs to somebody else, and is read with our rights: so names are found in `pg_catalog` only, policies of row-level
//! security are refused instead of run, views are refused, and values become text by the output functions of their types and
//! never by a cast.

use async_trait::async_trait;
use sqlx::Row as _;

use super::{
    PostgresStore,
    connection::{Sync, identifier},
    safe_reading,
    session::Session,
    statement::statements,
};
use crate::{EarlierObserver, EarlierObservers, Result, StoreError, earlier_observers::REQUIRED};

/// The name of the table.
const TABLE: &str = "tb_observer";

/// More rows than anybody writes by hand.
const MAX_ROWS: usize = 10_000;

statements! {
    FIND_TABLE = "-- find_earlier_observers
SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = 'tb_observer' AND c.relkind IN ('r', 'p')";
    COLUMNS = "-- columns_of_earlier_observers
SELECT attname::text AS name FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
}

#[async_trait]
impl EarlierObservers for PostgresStore {
    async fn earlier_observers(&self, schema: &str) -> Result<Vec<EarlierObserver>> {
        // Not of one moment: what is locked is looked at as it is then.
        let connections = &self.inner.connections;
        connections.write("earlier_observers", Sync::Later, |session| Box::pin(read(session, schema))).await
    }
}

async fn read(session: &mut Session<'_>, schema: &str) -> Result<Vec<EarlierObserver>> {
    let missing = || {
        StoreError::Refused(format!(
            "the schema `{schema}` has no table `{TABLE}`; name the one that has it with `--schema NAME`"
        ))
    };
    let found = FIND_TABLE.call().bind(schema).optional(session).await?.ok_or_else(missing)?;
    let oid: sqlx::postgres::types::Oid = found.get("oid")?;
    let table = format!("{}.{TABLE}", identifier(schema));
    session.run("lock_earlier_observers", &format!("LOCK TABLE {table} IN ACCESS SHARE MODE")).await?;
    if !safe_reading::begin(session, oid, schema, TABLE).await? {
        return Err(missing());
    }
    let columns = COLUMNS.call().bind(oid).all(session).await?;
    let columns: Vec<String> = columns.iter().map(|record| record.get("name")).collect::<Result<_>>()?;
    if let Some(lacking) = REQUIRED.iter().find(|name| !columns.iter().any(|column| column == *name)) {
        return Err(StoreError::Refused(format!(
            "the table {schema}.{TABLE} is not one of an earlier system: it has no column `{lacking}`; `aftercommit observers list` \
             shows the observers of aftercommit's own table"
        )));
    }
    let values: Vec<String> = columns.iter().map(|name| as_text(&identifier(name))).collect();
    let statement = format!(
        "SELECT ARRAY[{}]::pg_catalog.text[] FROM {table} AS o LIMIT {}",
        values.join(", "),
        MAX_ROWS + 1
    );
    let rows = session.query("earlier_observers", statement).await?;
    if rows.len() > MAX_ROWS {
        return Err(StoreError::Refused(format!("the table {schema}.{TABLE} has more than {MAX_ROWS} rows")));
    }
    let mut observers = Vec::with_capacity(rows.len());
    for row in rows {
        let values: Vec<Option<String>> = row
            .try_get(0)
            .map_err(|error| StoreError::Row { statement: "earlier_observers", why: error.to_string() })?;
        let filled = columns.iter().cloned().zip(values).filter_map(|(name, value)| Some((name, value?)));
        observers.push(filled.collect::<EarlierObserver>());
    }
    observers.sort_by_key(place);
    Ok(observers)
}

/// A column as a text, or null. `IS NULL` would take a composite value with empty fields for null.
fn as_text(column: &str) -> String {
    format!("CASE WHEN pg_catalog.num_nonnulls(o.{column}) = 1 THEN pg_catalog.format('%s', o.{column}) END")
}

/// Where a row stands among the others: sorted here, since the column may be of a type with an order of its own.
fn place(row: &EarlierObserver) -> i64 {
    row.get("pk_observer").and_then(|number| number.parse().ok()).unwrap_or(i64::MAX)
}
