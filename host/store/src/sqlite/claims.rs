//! Running deliveries: claimed and handed back. `claimable` finds what can be claimed; `completion` ends what runs.

use std::sync::Arc;

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore, claimable, completion,
    connection::Sync,
    event_row, intake,
    statement::{Record, rows_as_json, statements},
};
use crate::{
    ClaimedDelivery, Claims, Completion, CompletionReport, HostId, Lane, Result, intake_batch::Rejected,
    row::Row as _,
};

statements! {
    OWN_DELIVERIES = "-- own_deliveries
UPDATE observer_deliveries
SET state = 'running', owner = ?2, attempts = attempts + 1, next_attempt_at = NULL
WHERE id IN (SELECT value FROM json_each(?1))";
    DELETE_DELIVERIES = "-- delete_deliveries
DELETE FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
    RELEASE_DELIVERIES = "-- release_deliveries
UPDATE observer_deliveries
SET state = iif(?3 IS NULL, 'ready', 'waiting'), next_attempt_at = ?3, owner = NULL, attempts = attempts - 1
WHERE state = 'running' AND owner = ?2
  AND (id, attempts) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))";
}

#[async_trait]
impl Claims for SqliteStore {
    async fn claim(
        &self,
        host: HostId,
        limit: usize,
        _max_bytes: usize,
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
                let mut claimed = Vec::with_capacity(candidates.len());
                let mut rejected = Vec::new();
                for candidate in &candidates {
                    match read_candidate(candidate)? {
                        Ok(delivery) => claimed.push(delivery),
                        Err(reason) => rejected.push((candidate, reason)),
                    }
                }
                set_aside(write, rejected, now)?;
                let ids: Vec<_> = claimed.iter().map(|delivery| delivery.id).collect();
                OWN_DELIVERIES.call().bind(rows_as_json(&ids)).bind(host.to_string()).execute(write)?;
                Ok(claimed)
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

/// The inner error is an event that can not be read any more.
fn read_candidate(record: &Record) -> Result<std::result::Result<ClaimedDelivery, Rejected>> {
    let (id, attempts) = (DeliveryId(record.uuid("id")?), record.count("attempts")?);
    let attempts_before = record.count("attempts_before")?;
    let [observer, action, action_type] = ["observer", "action", "action_type"].map(|name| record.text(name));
    let (observer, action, action_type) = (observer?.into(), action?.into(), action_type?.into());
    Ok(event_row::read(record)?.map(|event| ClaimedDelivery {
        id,
        event: Arc::new(event),
        observer,
        action,
        action_type,
        attempt: attempts + 1,
        attempts_before,
        event_bytes: 0,
    }))
}

/// Someone changed or deleted events that have live deliveries: nothing can deliver them, so they go where a person
/// looks, and do not stand in the way of others.
fn set_aside(connection: &Connection, rejected: Vec<(&Record, Rejected)>, now: Timestamp) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    let mut rows = Vec::new();
    for (record, row) in rejected {
        ids.push(record.text("id")?);
        rows.push((record.integer("event_seq")?, row.of_delivery_to(record.text("observer")?)));
    }
    intake::quarantine(connection, &rows, now)?;
    DELETE_DELIVERIES.call().bind(rows_as_json(&ids)).execute(connection)?;
    Ok(())
}
