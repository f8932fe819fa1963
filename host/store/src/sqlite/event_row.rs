//! Reads events from rows that triggers, people and other programs wrote: nothing in them is taken for granted.

use std::str::FromStr;

use aftercommit_core::{EntityEvent, EventKind, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::statement::Record;
use crate::{Result, intake_batch::Rejected};

/// Reads the columns `event_id`, `entity_type`, .., `traceparent`. The outer error is the database's, the inner one
/// says why the row is no event.
pub(super) fn read(record: &Record) -> Result<std::result::Result<EntityEvent, Rejected>> {
    let mut columns = [None; COLUMNS.len()];
    for (value, name) in columns.iter_mut().zip(COLUMNS) {
        // As bytes: SQLite lets a text column hold anything.
        *value = record.get::<Option<&[u8]>>(name)?;
    }
    Ok(assemble(columns).map_err(|reason| {
        let lossy = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Rejected {
            event_id: lossy(columns[0]),
            entity_type: lossy(columns[1]),
            entity_id: lossy(columns[2]),
            reason,
        }
    }))
}

/// An event that a person asked for by its id, or none when the row is no event.
pub(super) fn read_lenient(record: &Record) -> Result<Option<EntityEvent>> {
    Ok(read(record)?.ok())
}

const COLUMNS: [&str; 11] = [
    "event_id",
    "entity_type",
    "entity_id",
    "event_kind",
    "occurred_at",
    "data",
    "old",
    "changed",
    "tenant_id",
    "actor",
    "traceparent",
];

type Column<'r> = Option<&'r [u8]>;

fn assemble(columns: [Column<'_>; COLUMNS.len()]) -> std::result::Result<EntityEvent, String> {
    let [id, entity_type, entity_id, kind, occurred_at, data, old, changed, tenant_id, actor, traceparent] =
        columns;
    let id: Uuid = parsed("id", id)?.ok_or("there is no such event")?;
    let entity_type =
        text("entity_type", entity_type)?.filter(|name| !name.is_empty()).ok_or("it has no entity_type")?;
    let entity_id =
        text("entity_id", entity_id)?.ok_or("it has no entity_id: a column of the key is null")?;
    let kind: EventKind = parsed("event_kind", kind)?.ok_or("it has no event_kind")?;
    let occurred_at: Timestamp = parsed("occurred_at", occurred_at)?.ok_or("it has no occurred_at")?;
    let data = image("data", data)?.ok_or("it has no data")?;
    let mut event = EntityEvent::at(id, occurred_at, kind, entity_type, entity_id, data);
    if let Some(old) = image("old", old)? {
        event = event.with_old(old);
    }
    if let Some(changed) = changed {
        event.changed = serde_json::from_slice(changed).map_err(|error| format!("changed: {error}"))?;
    }
    event.tenant_id = text("tenant_id", tenant_id)?.map(str::to_owned);
    event.actor = text("actor", actor)?.map(str::to_owned);
    event.traceparent = text("traceparent", traceparent)?.map(str::to_owned);
    Ok(event)
}

fn text<'r>(name: &str, bytes: Column<'r>) -> std::result::Result<Option<&'r str>, String> {
    bytes.map(std::str::from_utf8).transpose().map_err(|error| format!("{name}: {error}"))
}

fn parsed<T: FromStr>(name: &str, bytes: Column<'_>) -> std::result::Result<Option<T>, String>
where
    T::Err: std::fmt::Display,
{
    text(name, bytes)?.map(str::parse).transpose().map_err(|error| format!("{name}: {error}"))
}

fn image(name: &str, bytes: Column<'_>) -> std::result::Result<Option<Value>, String> {
    let Some(text) = text(name, bytes)? else { return Ok(None) };
    match serde_json::from_str(text) {
        Ok(row @ Value::Object(_)) => Ok(Some(row)),
        Ok(_) => Err(format!("{name} is not a JSON object")),
        Err(error) => Err(format!("{name} is not JSON: {error}")),
    }
}
