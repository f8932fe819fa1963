//! Reads events from rows that triggers, people and other programs wrote: nothing in them is taken for granted.

use std::{collections::HashMap, sync::Arc};

use aftercommit_core::{EntityEvent, EventKind, Timestamp, event::captured_id};
use serde_json::Value;
use uuid::Uuid;

use super::{
    session::Session,
    statement::{Record, statements},
    time::At,
};
use crate::{Result, intake_batch::Rejected};

statements! {
    /// The times name the partitions: without them each event would be looked for in all of them.
    READ_EVENTS = "-- read_events
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data::text AS data, old::text AS old,
       changed::text AS changed, tenant_id, actor, traceparent
FROM observer_events
WHERE seq = ANY($1) AND occurred_at BETWEEN $2 AND $3";
    READ_EVENTS_BY_SEQ = "-- read_events_by_seq
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data::text AS data, old::text AS old,
       changed::text AS changed, tenant_id, actor, traceparent
FROM observer_events
WHERE seq = ANY($1)";
}

/// Bytes of images as text, of a record with the columns `data` and `old`.
pub(super) fn bytes(record: &Record) -> usize {
    ["data", "old"]
        .map(|column| record.get::<Option<&str>>(column).ok().flatten().map_or(0, str::len))
        .iter()
        .sum()
}

/// Reads a row of the inbox that holds a change: the same columns, and `place`, `seq` and `problem`. A value that can not be read makes it
/// no event.
pub(super) fn read_change(record: &Record) -> Result<Read> {
    let (place, seq): (i64, i64) = (record.get("place")?, record.get("seq")?);
    let number = if seq == 0 { place } else { seq };
    let At(at) = record.get::<Option<At>>("occurred_at")?.unwrap_or(At(Timestamp::from_micros(0)));
    let id = record.get::<Option<Uuid>>("event_id")?.unwrap_or_else(|| captured_id(at, number, 0));
    let read = match record.get::<Option<&str>>("problem") {
        Ok(problem) => read_as(record, Some(id), problem),
        Err(error) => Err(error),
    };
    Ok(read.unwrap_or_else(|error| {
        Err(Rejected {
            event_id: Some(id.to_string()),
            entity_type: record.get::<Option<String>>("entity_type").ok().flatten(),
            entity_id: record.get::<Option<String>>("entity_id").ok().flatten(),
            reason: error.to_string(),
        })
    }))
}

/// What the row of one event says, or why it is no event.
pub(super) type Read = std::result::Result<EntityEvent, Rejected>;

/// Reads the events with these seqs, whenever they were, with their bytes.
pub(super) async fn read_by_seq(
    session: &mut Session<'_>,
    seqs: &[i64],
) -> Result<HashMap<i64, (Read, usize)>> {
    if seqs.is_empty() {
        return Ok(HashMap::new());
    }
    let records = READ_EVENTS_BY_SEQ.call().bind(seqs).all(session).await?;
    records.iter().map(|record| Ok((record.get("seq")?, (read(record)?, bytes(record))))).collect()
}

/// Reads the events with these (seq, time), by seq, each once. What is not there is missing.
pub(super) async fn read_all(
    session: &mut Session<'_>,
    places: &[(i64, Timestamp)],
) -> Result<HashMap<i64, std::result::Result<Arc<EntityEvent>, Rejected>>> {
    let (Some(first), Some(last)) =
        (places.iter().map(|place| place.1).min(), places.iter().map(|place| place.1).max())
    else {
        return Ok(HashMap::new());
    };
    let seqs: Vec<i64> = places.iter().map(|place| place.0).collect();
    let records = READ_EVENTS.call().bind(seqs).bind_time(first).bind_time(last).all(session).await?;
    records.iter().map(|record| Ok((record.get("seq")?, read(record)?.map(Arc::new)))).collect()
}

/// A row that points at no event.
pub(super) fn missing() -> Rejected {
    Rejected {
        event_id: None,
        entity_type: None,
        entity_id: None,
        reason: "there is no such event".to_owned(),
    }
}

/// Reads the columns `event_id`, `entity_type`, .., `traceparent`. The outer error is the database's, the inner one
/// says why the row is no event.
pub(super) fn read(record: &Record) -> Result<Read> {
    read_as(record, record.get("event_id")?, None)
}

fn read_as(record: &Record, id: Option<Uuid>, problem: Option<&str>) -> Result<Read> {
    let text = |column: &str| record.get::<Option<&str>>(column);
    let row = Row {
        id,
        entity_type: text("entity_type")?,
        entity_id: text("entity_id")?,
        event_kind: text("event_kind")?,
        occurred_at: record.get::<Option<At>>("occurred_at")?,
        data: text("data")?,
        old: text("old")?,
        changed: text("changed")?,
        tenant_id: text("tenant_id")?,
        actor: text("actor")?,
        traceparent: text("traceparent")?,
        problem,
    };
    Ok(row.assemble().map_err(|reason| Rejected {
        event_id: row.id.map(|id| id.to_string()),
        entity_type: row.entity_type.map(str::to_owned),
        entity_id: row.entity_id.map(str::to_owned),
        reason,
    }))
}

struct Row<'r> {
    id: Option<Uuid>,
    entity_type: Option<&'r str>,
    entity_id: Option<&'r str>,
    event_kind: Option<&'r str>,
    occurred_at: Option<At>,
    data: Option<&'r str>,
    old: Option<&'r str>,
    changed: Option<&'r str>,
    tenant_id: Option<&'r str>,
    actor: Option<&'r str>,
    traceparent: Option<&'r str>,
    problem: Option<&'r str>,
}

impl Row<'_> {
    fn assemble(&self) -> std::result::Result<EntityEvent, String> {
        let id = self.id.ok_or("there is no such event")?;
        let At(occurred_at) = self.occurred_at.ok_or("it has no occurred_at")?;
        let entity_type = self.entity_type.filter(|name| !name.is_empty()).ok_or("it has no entity_type")?;
        let entity_id = self.entity_id.ok_or("it has no entity_id: a column of the key is null or gone")?;
        if let Some(problem) = self.problem {
            return Err(format!("its image could not be made: {problem}"));
        }
        let data = image("data", self.data)?.ok_or("it has no data")?;
        let kind: EventKind = self
            .event_kind
            .ok_or("it has no event_kind")?
            .parse()
            .map_err(|error| format!("event_kind: {error}"))?;
        let mut event = EntityEvent::at(id, occurred_at, kind, entity_type, entity_id, data);
        if let Some(old) = image("old", self.old)? {
            event = event.with_old(old);
        }
        if let Some(changed) = self.changed {
            event.changed = serde_json::from_str(changed).map_err(|error| format!("changed: {error}"))?;
        }
        event.tenant_id = context(self.tenant_id);
        event.actor = context(self.actor);
        event.traceparent = context(self.traceparent);
        Ok(event)
    }
}

/// A setting that was set once in a session is empty from then on.
fn context(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn image(name: &str, text: Option<&str>) -> std::result::Result<Option<Value>, String> {
    let Some(text) = text else { return Ok(None) };
    match serde_json::from_str(text) {
        Ok(row @ Value::Object(_)) => Ok(Some(row)),
        Ok(_) => Err(format!("{name} is not a JSON object")),
        Err(error) => Err(format!("{name} is not JSON: {error}")),
    }
}
