//! Reads events from rows that triggers, people and other programs wrote: nothing in them is taken for granted.

use std::{borrow::Cow, str::FromStr};

use aftercommit_core::{EntityEvent, EventKind, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::statement::{Call, Record, statements};
use crate::{Result, intake_batch::Rejected};

statements! {
    WRITE_EVENT = "-- write_event
INSERT INTO observer_events
    (id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent)
VALUES (CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS TEXT), CAST(?5 AS TEXT), CAST(?6 AS TEXT),
        CAST(?7 AS TEXT), CAST(?8 AS TEXT), CAST(?9 AS TEXT), CAST(?10 AS TEXT), CAST(?11 AS TEXT))";
}

/// The columns of an event, as bytes: SQLite lets a text column hold anything.
#[derive(Clone)]
pub(super) struct Columns<'r> {
    pub(super) id: Bytes<'r>,
    pub(super) entity_type: Bytes<'r>,
    pub(super) entity_id: Bytes<'r>,
    pub(super) event_kind: Bytes<'r>,
    pub(super) occurred_at: Bytes<'r>,
    pub(super) data: Bytes<'r>,
    pub(super) old: Bytes<'r>,
    pub(super) changed: Bytes<'r>,
    pub(super) tenant_id: Bytes<'r>,
    pub(super) actor: Bytes<'r>,
    pub(super) traceparent: Bytes<'r>,
}

pub(super) type Bytes<'r> = Option<Cow<'r, [u8]>>;

/// Reads the columns `event_id`, `entity_type`, .., `traceparent`. The outer error is the database's, the inner one
/// says why the row is no event.
pub(super) fn read(record: &Record) -> Result<std::result::Result<EntityEvent, Rejected>> {
    let columns = columns(record)?;
    Ok(columns.assemble().map_err(|reason| columns.rejected(reason)))
}

/// The same columns as they are.
pub(super) fn columns(record: &Record) -> Result<Columns<'_>> {
    let column = |name| Ok(record.get::<Option<&[u8]>>(name)?.map(Cow::Borrowed));
    Ok(Columns {
        id: column("event_id")?,
        entity_type: column("entity_type")?,
        entity_id: column("entity_id")?,
        event_kind: column("event_kind")?,
        occurred_at: column("occurred_at")?,
        data: column("data")?,
        old: column("old")?,
        changed: column("changed")?,
        tenant_id: column("tenant_id")?,
        actor: column("actor")?,
        traceparent: column("traceparent")?,
    })
}

/// The call that writes an event.
pub(super) fn write(columns: &Columns<'_>) -> Call {
    columns.bind(WRITE_EVENT.call())
}

/// An event that a person asked for by its id, or none when the row is no event.
pub(super) fn read_lenient(record: &Record) -> Result<Option<EntityEvent>> {
    Ok(read(record)?.ok())
}

impl Columns<'_> {
    /// The event, or why it is none.
    pub(super) fn assemble(&self) -> std::result::Result<EntityEvent, String> {
        let id: Uuid = parsed("id", self.id.as_deref())?.ok_or("there is no such event")?;
        let entity_type = text("entity_type", self.entity_type.as_deref())?
            .filter(|name| !name.is_empty())
            .ok_or("it has no entity_type")?;
        let entity_id = text("entity_id", self.entity_id.as_deref())?
            .ok_or("it has no entity_id: a column of the key is null")?;
        let kind: EventKind =
            parsed("event_kind", self.event_kind.as_deref())?.ok_or("it has no event_kind")?;
        let occurred_at: Timestamp =
            parsed("occurred_at", self.occurred_at.as_deref())?.ok_or("it has no occurred_at")?;
        let data = image("data", self.data.as_deref())?.ok_or("it has no data")?;
        let mut event = EntityEvent::at(id, occurred_at, kind, entity_type, entity_id, data);
        if let Some(old) = image("old", self.old.as_deref())? {
            event = event.with_old(old);
        }
        if let Some(changed) = self.changed.as_deref() {
            event.changed = serde_json::from_slice(changed).map_err(|error| format!("changed: {error}"))?;
        }
        event.tenant_id = text("tenant_id", self.tenant_id.as_deref())?.map(str::to_owned);
        event.actor = text("actor", self.actor.as_deref())?.map(str::to_owned);
        event.traceparent = text("traceparent", self.traceparent.as_deref())?.map(str::to_owned);
        Ok(event)
    }

    /// It is no event, for this reason.
    pub(super) fn rejected(&self, reason: String) -> Rejected {
        let lossy =
            |bytes: &Bytes<'_>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Rejected {
            event_id: lossy(&self.id),
            entity_type: lossy(&self.entity_type),
            entity_id: lossy(&self.entity_id),
            reason,
        }
    }

    /// Bytes of its images.
    pub(super) fn bytes(&self) -> usize {
        self.data.as_deref().map_or(0, <[u8]>::len) + self.old.as_deref().map_or(0, <[u8]>::len)
    }

    /// In the order of the fields; as blobs, which the statements make texts of, whatever they hold.
    pub(super) fn bind(&self, mut call: Call) -> Call {
        for column in [
            &self.id,
            &self.entity_type,
            &self.entity_id,
            &self.event_kind,
            &self.occurred_at,
            &self.data,
            &self.old,
            &self.changed,
            &self.tenant_id,
            &self.actor,
            &self.traceparent,
        ] {
            call = call.bind(column.as_deref());
        }
        call
    }
}

type Column<'r> = Option<&'r [u8]>;

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
