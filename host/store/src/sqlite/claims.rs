//! Running deliveries: claimed and handed back. `claimable` finds what can be claimed; `completion` ends what runs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use aftercommit_core::{DeliveryId, EntityEvent, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore, claimable, completion,
    connection::Sync,
    event_row, quarantine,
    statement::{Record, rows_as_json, statements},
};
use crate::{
    ClaimedDelivery, Claims, Completion, CompletionReport, HostId, Lane, Result, intake_batch::Rejected,
    row::Row as _, suspects::read_losses,
};

statements! {
    OWN_DELIVERIES = "-- own_deliveries
UPDATE observer_deliveries
SET state = 'running', owner = ?2, attempts = attempts + 1, next_attempt_at = NULL
WHERE id IN (SELECT value FROM json_each(?1))";
    CLAIMED_EVENTS = "-- claimed_events
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_events WHERE seq IN (SELECT value FROM json_each(?1))";
    DELETE_DELIVERIES = "-- delete_deliveries
DELETE FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
    RELEASE_DELIVERIES = "-- release_deliveries
UPDATE observer_deliveries
SET state = iif(?3 IS NULL, 'ready', 'waiting'), next_attempt_at = ?3, owner = NULL, attempts = attempts - 1,
    begun = 0
WHERE state = 'running' AND owner = ?2
  AND (id, attempts) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))";
}

#[async_trait]
impl Claims for SqliteStore {
    async fn claim(
        &self,
        host: HostId,
        limit: usize,
        max_bytes: usize,
        except: &[Lane],
        now: Timestamp,
    ) -> Result<Vec<ClaimedDelivery>> {
        // Looked at without the write lock.
        let connections = &self.inner.connections;
        if limit == 0 || !connections.read(move |connection| claimable::is_there(connection, now)).await? {
            return Ok(Vec::new());
        }
        let except = except.to_vec();
        connections
            .write("claim", Sync::Later, move |write| {
                let candidates = claimable::candidates(write, limit, &except, now)?;
                own(write, host, candidates, max_bytes, now)
            })
            .await
    }

    async fn next_due(&self, except: &[Lane]) -> Result<Option<Timestamp>> {
        let except = except.to_vec();
        self.inner.connections.read(move |connection| claimable::next_due(connection, &except)).await
    }

    async fn complete(&self, host: HostId, completions: Vec<Completion>) -> Result<CompletionReport> {
        if completions.is_empty() {
            return Ok(CompletionReport::default());
        }
        self.inner
            .connections
            .write("complete", Sync::Later, move |write| completion::complete(write, host, completions))
            .await
    }

    async fn release(
        &self,
        host: HostId,
        deliveries: Vec<(DeliveryId, u32)>,
        not_before: Option<Timestamp>,
    ) -> Result<usize> {
        if deliveries.is_empty() {
            return Ok(0);
        }
        self.inner
            .connections
            .write("release", Sync::Later, move |write| {
                RELEASE_DELIVERIES
                    .call()
                    .bind(rows_as_json(&deliveries))
                    .bind(host.to_string())
                    .bind(not_before.map(|at| at.to_string()))
                    .execute(write)
            })
            .await
    }
}

/// Owns the first of the candidates, as far as their events fit in.
pub(super) fn own(
    connection: &Connection,
    host: HostId,
    mut candidates: Vec<Record>,
    max_bytes: usize,
    now: Timestamp,
) -> Result<Vec<ClaimedDelivery>> {
    candidates.truncate(fitting(&candidates, max_bytes)?);
    let events = events_of(connection, &candidates)?;
    let mut claimed = Vec::with_capacity(candidates.len());
    let mut rejected = Vec::new();
    for candidate in &candidates {
        match events.get(&candidate.integer("event_seq")?) {
            Some(Ok(event)) => claimed.push(read_candidate(candidate, event)?),
            Some(Err(reason)) => rejected.push((candidate, reason.clone())),
            None => rejected.push((candidate, Rejected::missing())),
        }
    }
    set_aside(connection, rejected, now)?;
    let ids: Vec<_> = claimed.iter().map(|delivery| delivery.id).collect();
    OWN_DELIVERIES.call().bind(rows_as_json(&ids)).bind(host.to_string()).execute(connection)?;
    Ok(claimed)
}

/// How many of the candidates, in order, have events of so many bytes; the first is claimed however large it is.
fn fitting(candidates: &[Record], max_bytes: usize) -> Result<usize> {
    let mut left = max_bytes;
    for (n, candidate) in candidates.iter().enumerate() {
        let bytes = event_bytes(candidate)?;
        if n > 0 && bytes > left {
            return Ok(n);
        }
        left = left.saturating_sub(bytes);
    }
    Ok(candidates.len())
}

fn event_bytes(candidate: &Record) -> Result<usize> {
    Ok(usize::try_from(candidate.integer("event_bytes")?).unwrap_or(0))
}

type Events = HashMap<i64, std::result::Result<Arc<EntityEvent>, Rejected>>;

/// The events of deliveries by their seq, each read once. An error is an event that can not be read any more.
fn events_of(connection: &Connection, candidates: &[Record]) -> Result<Events> {
    let seqs =
        candidates.iter().map(|candidate| candidate.integer("event_seq")).collect::<Result<HashSet<_>>>()?;
    let seqs: Vec<_> = seqs.into_iter().collect();
    let records = CLAIMED_EVENTS.call().bind(rows_as_json(&seqs)).all(connection)?;
    records
        .iter()
        .map(|record| Ok((record.integer("seq")?, event_row::read(record)?.map(Arc::new))))
        .collect()
}

fn read_candidate(record: &Record, event: &Arc<EntityEvent>) -> Result<ClaimedDelivery> {
    Ok(ClaimedDelivery {
        id: DeliveryId(record.uuid("id")?),
        event: Arc::clone(event),
        observer: record.text("observer")?.into(),
        action: record.text("action")?.into(),
        action_type: record.text("action_type")?.into(),
        attempt: record.count("attempts")? + 1,
        attempts_before: record.count("attempts_before")?,
        losses: read_losses(record)?,
        event_bytes: event_bytes(record)?,
    })
}

/// Someone changed or deleted events that have live deliveries: nothing can deliver them, so they go where a person
/// looks, and do not stand in the way of others.
fn set_aside(connection: &Connection, rejected: Vec<(&Record, Rejected)>, now: Timestamp) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    for (record, row) in rejected {
        ids.push(record.text("id")?);
        let row = row.of_delivery_to(record.text("observer")?);
        quarantine::put_reference(connection, record.integer("event_seq")?, &row, now)?;
    }
    DELETE_DELIVERIES.call().bind(rows_as_json(&ids)).execute(connection)?;
    Ok(())
}
