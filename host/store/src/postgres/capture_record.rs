//! The captures as they are written down.

use std::collections::BTreeMap;

use super::{
    session::Session,
    statement::{Record, statements},
};
use crate::{
    Capture, ChangeLogField, Result, StoreError, captures::EVERY_TYPE, readable::readable, row::Row as _,
};

statements! {
    LIST_CAPTURES = "-- list_captures
SELECT table_name, entity_type, key, columns, selection::text AS selection, condition, change_log::text AS change_log,
       notify, function, source, is_tenant, created_at
FROM observer_captures
ORDER BY table_name COLLATE \"C\"";
    PUT_CAPTURE = "-- put_capture
INSERT INTO observer_captures (table_name, entity_type, key, columns, selection, condition, change_log, notify, function,
                               source, is_tenant, created_at)
VALUES ($1, $2, $3, $4, $5::text::json, $6, $7::text::json, $8, $9::text, (
            SELECT string_agg(pg_get_functiondef(oid), '' ORDER BY proname) FROM pg_proc
            WHERE proname IN ($9::text || '_insert', $9::text || '_update', $9::text || '_delete')
              AND pronamespace = to_regnamespace(quote_ident(current_schema()))
        ), $10, $11)
ON CONFLICT (table_name) DO UPDATE
SET entity_type = excluded.entity_type, key = excluded.key, columns = excluded.columns, selection = excluded.selection,
    condition = excluded.condition, change_log = excluded.change_log, notify = excluded.notify,
    function = excluded.function, source = excluded.source, is_tenant = excluded.is_tenant, created_at = excluded.created_at";
    DELETE_CAPTURE = "-- delete_capture
DELETE FROM observer_captures WHERE table_name = $1";
}

/// A capture, and what was made for it.
pub(super) struct Written {
    pub(super) capture: Capture,
    /// The function behind its triggers; `None` for a capture of an earlier version.
    pub(super) function: Option<String>,
    /// The function's text.
    pub(super) source: Option<String>,
    /// Whether its schema is the tenant of its events.
    pub(super) is_tenant: bool,
}

impl Written {
    /// The first argument of triggers of earlier versions.
    pub(super) fn first_argument(&self) -> &str {
        match self.capture.change_log {
            None => &self.capture.entity_type,
            Some(_) => &self.capture.table,
        }
    }
}

/// All of them. One that can not be read is passed over with a warning.
pub(super) async fn list(session: &mut Session<'_>) -> Result<Vec<Written>> {
    let records = LIST_CAPTURES.call().all(session).await?;
    Ok(readable("observer_captures", &["table_name"], &records, written))
}

fn written(record: &Record) -> Result<Written> {
    let change_log = record.get::<Option<&str>>("change_log")?.map(serde_json::from_str);
    let change_log: Option<BTreeMap<ChangeLogField, String>> =
        change_log.transpose().map_err(|why| record.unreadable("change_log", &why))?;
    Ok(Written {
        capture: Capture {
            table: record.get("table_name")?,
            entity_type: record.get::<Option<_>>("entity_type")?.unwrap_or_else(|| EVERY_TYPE.to_owned()),
            key: record.get("key")?,
            columns: record.get("columns")?,
            selection: record.json("selection")?,
            condition: record.get("condition")?,
            change_log,
            notify: record.get("notify")?,
            created_at: record.time("created_at")?,
        },
        function: record.get("function")?,
        source: record.get("source")?,
        is_tenant: record.get("is_tenant")?,
    })
}

/// Writes down a capture and what was made for it.
pub(super) async fn put(
    session: &mut Session<'_>,
    capture: &Capture,
    function: &str,
    is_tenant: bool,
) -> Result<()> {
    let change_log = capture.change_log.as_ref();
    PUT_CAPTURE
        .call()
        .bind(&capture.table)
        .bind(change_log.is_none().then_some(&capture.entity_type))
        .bind(&capture.key)
        .bind(&capture.columns)
        .bind(serde_json::json!(capture.selection).to_string())
        .bind(&capture.condition)
        .bind(change_log.map(|fields| serde_json::json!(fields).to_string()))
        .bind(capture.notify)
        .bind(function)
        .bind(is_tenant)
        .bind_time(capture.created_at)
        .execute(session)
        .await?;
    Ok(())
}

/// The capture of a table, by its name as people write it.
fn find(captures: Vec<Written>, table: &str) -> Result<Written> {
    let plain = table.strip_prefix("public.").unwrap_or(table);
    let lower = plain.to_lowercase();
    let position = |name: &str| captures.iter().position(|written| written.capture.table == name);
    match position(plain).or_else(|| position(&lower)) {
        Some(n) => captures.into_iter().nth(n).ok_or_else(|| no_capture(table)),
        None => Err(no_capture(table)),
    }
}

fn no_capture(table: &str) -> StoreError {
    StoreError::NotFound { what: "capture of the table", name: table.to_owned() }
}

/// The capture of a table.
pub(super) async fn written_of(session: &mut Session<'_>, table: &str) -> Result<Written> {
    find(list(session).await?, table)
}

/// Takes a capture off the list.
pub(super) async fn delete(session: &mut Session<'_>, table: &str) -> Result<()> {
    DELETE_CAPTURE.call().bind(table).execute(session).await?;
    Ok(())
}
