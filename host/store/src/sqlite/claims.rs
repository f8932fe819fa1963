//! Running deliveries: claimed and handed back. `claimable` finds what can be claimed; `completion` ends what runs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aftercommit_core::{DeliveryId, EntityEvent, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    claimable::{self, is_enabled},
    completion,
    connection::{Connections, Sync},
    event_row, piece, quarantine, runs,
    statement::{Record, rows_as_json, statements},
};
use crate::{
    ClaimRequest, ClaimedDelivery, Claims, Completion, CompletionReport, End, HostId, Lane, Result,
    intake_batch::Rejected, odd_delivery, row::Row as _, suspects::read_losses,
};

/// Of the (id, attempts) that were found those that can be claimed now.
macro_rules! still_found {
    () => {
        concat!(
            "(SELECT d.id FROM json_each(?1) AS c CROSS JOIN observer_deliveries AS d ON d.id = c.value ->> 0
             WHERE d.attempts = c.value ->> 1 AND d.blocked = 0
               AND (d.state = 'ready' OR d.state = 'waiting' AND d.next_attempt_at <= ?2) AND ",
            is_enabled!("d.observer"),
            ")"
        )
    };
}

statements! {
    /// Only those that are still as they were found.
    OWN_DELIVERIES = concat!("-- own_deliveries
UPDATE observer_deliveries
SET state = 'running', owner = ?3, attempts = attempts + 1, next_attempt_at = NULL
WHERE id IN ", still_found!(), "
RETURNING id");
    PUT_DELIVERIES_ASIDE = concat!("-- put_deliveries_aside
DELETE FROM observer_deliveries WHERE id IN ", still_found!(), "
RETURNING id");
    /// By the bytes of the id, which may be no text.
    PUT_ODD_ASIDE = "-- put_odd_aside
DELETE FROM observer_deliveries WHERE hex(id) = hex(?1) AND state <> 'running'";
    CLAIMED_EVENTS = "-- claimed_events
SELECT seq, id AS event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
       traceparent
FROM observer_events WHERE seq IN (SELECT value FROM json_each(?1))";
    RELEASE_DELIVERIES = "-- release_deliveries
UPDATE observer_deliveries
SET state = iif(?3 IS NULL, 'ready', 'waiting'), next_attempt_at = ?3, waiting_since = ?4, owner = NULL, attempts = attempts - 1,
    begun = 0
WHERE state = 'running' AND owner = ?2
  AND (id, attempts) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))";
}

#[async_trait]
impl Claims for SqliteStore {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Vec<ClaimedDelivery>> {
        let ClaimRequest { host, limit, max_bytes, share, now, .. } = request;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (except, runs) = (request.except.to_vec(), request.runs.clone());
        let find = move |moment: &Connection| {
            let request = ClaimRequest { host, limit, max_bytes, except: &except, share, runs: &runs, now };
            let (first, odd) = part(claimable::candidates(moment, request)?);
            Ok((runs::with_those_behind(moment, first, request)?, odd))
        };
        claim("claim", &self.inner.connections, host, max_bytes, now, find).await
    }

    async fn next_due(&self, except: &[Lane]) -> Result<Option<Timestamp>> {
        let except = except.to_vec();
        self.inner.connections.read(move |connection| claimable::next_due(connection, &except)).await
    }

    async fn complete(&self, host: HostId, completions: Vec<Completion>) -> Result<CompletionReport> {
        if completions.is_empty() {
            return Ok(CompletionReport::default());
        }
        let dead: Vec<_> = completions
            .iter()
            .filter(|completion| matches!(completion.end, End::Dead { .. }))
            .map(|completion| completion.id)
            .collect();
        let connections = &self.inner.connections;
        let bytes = if dead.is_empty() {
            HashMap::new()
        } else {
            connections.read(move |connection| completion::bytes_of(connection, &dead)).await?
        };
        let completions: Arc<[Completion]> = completions.into();
        let mut report = CompletionReport::default();
        let weight = |end: &Completion| piece::weight(bytes.get(&end.id).copied().unwrap_or_default());
        let weights: Vec<_> = completions.iter().map(weight).collect();
        for piece in piece::pieces(&weights) {
            let (all, range) = (Arc::clone(&completions), piece.clone());
            let work = move |write: &Connection| completion::complete(write, host, &all[range]);
            let written = if bytes.is_empty() {
                connections.write("complete", Sync::Later, work).await
            } else {
                connections.write_piece("complete", Sync::Later, work).await
            };
            match written {
                Ok(part) => {
                    report.applied += part.applied;
                    report.stale.extend(part.stale);
                }
                Err(error) if piece.start > 0 => {
                    tracing::debug!(%error, "a part of a batch of completions was written");
                    report.unwritten = completions[piece.start..].to_vec();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    async fn release(
        &self,
        host: HostId,
        deliveries: Vec<(DeliveryId, u32)>,
        pause: Option<Duration>,
        now: Timestamp,
    ) -> Result<usize> {
        if deliveries.is_empty() {
            return Ok(0);
        }
        let mut released = 0;
        for piece in deliveries.chunks(piece::MOST) {
            let call = RELEASE_DELIVERIES
                .call()
                .bind(rows_as_json(piece))
                .bind(host.to_string())
                .bind(pause.map(|pause| now.plus(pause).to_string()))
                .bind_time(now);
            let release = move |write: &Connection| call.execute(write);
            released += self.inner.connections.write("release", Sync::Later, release).await?;
        }
        Ok(released)
    }
}

/// A row that can be claimed.
pub(super) struct Found {
    pub(super) record: Record,
    /// The one before it in its run, which is to be claimed first.
    pub(super) behind: Option<DeliveryId>,
}

/// A delivery whose row cannot be read: its id as it is, the event's number if there is one, and why.
pub(super) struct Odd {
    id: Vec<u8>,
    event_seq: Option<i64>,
    rejected: Rejected,
}

/// Parts rows that can be claimed from those that cannot be read.
pub(super) fn part(records: Vec<Record>) -> (Vec<Record>, Vec<Odd>) {
    let (mut sound, mut odd) = (Vec::with_capacity(records.len()), Vec::new());
    for record in records {
        match odd_delivery::check(&record) {
            Ok(()) => sound.push(record),
            Err(why) => odd.push(Odd {
                id: record.get::<&[u8]>("id").unwrap_or_default().to_vec(),
                event_seq: record.integer("event_seq").ok(),
                rejected: odd_delivery::rejected(&record, &why),
            }),
        }
    }
    (sound, odd)
}

fn put_odd_aside(write: &Connection, odd: Vec<Odd>, now: Timestamp) -> Result<()> {
    for Odd { id, event_seq, rejected } in odd {
        if PUT_ODD_ASIDE.call().bind(id).execute(write)? > 0 {
            quarantine::put_reference(write, event_seq, &rejected, now)?;
        }
    }
    Ok(())
}

/// How many of the candidates, in order, have events of so many bytes; the first is claimed however large it is.
fn fitting(candidates: &[Found], max_bytes: usize) -> Result<usize> {
    let mut left = max_bytes;
    for (n, candidate) in candidates.iter().enumerate() {
        let bytes = event_bytes(&candidate.record)?;
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
fn events_of(connection: &Connection, candidates: &[Found]) -> Result<Events> {
    let seqs = candidates.iter().map(|candidate| candidate.record.integer("event_seq"));
    let seqs = seqs.collect::<Result<HashSet<_>>>()?;
    let seqs: Vec<_> = seqs.into_iter().collect();
    let records = CLAIMED_EVENTS.call().bind(rows_as_json(&seqs)).all(connection)?;
    records
        .iter()
        .map(|record| Ok((record.integer("seq")?, event_row::read(record)?.map(Arc::new))))
        .collect()
}

/// Claims the first of what `find` finds, as far as their events fit in. They are found and read without the write lock: events
/// may be large.
pub(super) async fn claim(
    name: &'static str,
    connections: &Connections,
    host: HostId,
    max_bytes: usize,
    now: Timestamp,
    find: impl FnOnce(&Connection) -> Result<(Vec<Found>, Vec<Odd>)> + Send + 'static,
) -> Result<Vec<ClaimedDelivery>> {
    let (found, odd) = connections
        .read_moment(move |moment| {
            let (mut candidates, odd) = find(moment)?;
            candidates.truncate(fitting(&candidates, max_bytes)?);
            let events = events_of(moment, &candidates)?;
            let candidates = candidates.iter().map(|candidate| Candidate::read(candidate, &events));
            Ok((candidates.collect::<Result<Vec<_>>>()?, odd))
        })
        .await?;
    if !odd.is_empty() {
        let put_aside = move |write: &Connection| put_odd_aside(write, odd, now);
        connections.write("put_aside", Sync::Later, put_aside).await?;
    }
    let mut found = found.into_iter().peekable();
    let mut claimed = Vec::with_capacity(found.len());
    while found.peek().is_some() {
        let piece: Vec<_> = found.by_ref().take(piece::MOST).collect();
        // Those that were claimed in an earlier piece.
        let before: HashSet<_> = claimed.iter().map(|delivery: &ClaimedDelivery| delivery.id).collect();
        let before = move |id: &DeliveryId| before.contains(id);
        match connections.write(name, Sync::Later, move |write| own(write, host, piece, before, now)).await {
            Ok(owned) => claimed.extend(owned),
            // What is owned already is returned; the next call meets the error again if it lasts.
            Err(error) if !claimed.is_empty() => {
                tracing::debug!(%error, "a part of what can be claimed was");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

/// A delivery that can be claimed.
pub(super) struct Candidate {
    pub(super) id: DeliveryId,
    pub(super) attempts: u32,
    event_seq: i64,
    /// The one before it in its run.
    pub(super) behind: Option<DeliveryId>,
    /// It as it will be owned, or its event, which can not be read any more.
    pub(super) delivery: std::result::Result<ClaimedDelivery, Rejected>,
}

impl Candidate {
    fn read(Found { record, behind }: &Found, events: &Events) -> Result<Self> {
        let (id, event_seq) = (DeliveryId(record.uuid("id")?), record.integer("event_seq")?);
        let observer = record.text("observer")?;
        let attempts = record.count("attempts")?;
        let delivery = match events.get(&event_seq) {
            Some(Ok(event)) => Ok(ClaimedDelivery {
                id,
                event: Arc::clone(event),
                observer: observer.into(),
                action: record.text("action")?.into(),
                action_type: record.text("action_type")?.into(),
                attempt: attempts + 1,
                attempts_before: record.count("attempts_before")?,
                losses: read_losses(record)?,
                event_bytes: event_bytes(record)?,
                ordering_key: record.optional_text("ordering_key")?.map(Arc::from),
            }),
            Some(Err(reason)) => Err(reason.clone().of_delivery_to(observer)),
            None => Err(Rejected::missing().of_delivery_to(observer)),
        };
        Ok(Self { id, attempts, event_seq, behind: *behind, delivery })
    }
}

/// Owns what still is as it was found. `is_owned` knows what was owned before.
fn own(
    write: &Connection,
    host: HostId,
    candidates: Vec<Candidate>,
    is_owned: impl Fn(&DeliveryId) -> bool,
    now: Timestamp,
) -> Result<Vec<ClaimedDelivery>> {
    let (first, behind) = candidates.into_iter().partition::<Vec<_>, _>(|it| it.behind.is_none());
    let mut owned = own_first(write, host, first, now)?;
    let ids: HashSet<_> = owned.iter().map(|delivery| delivery.id).collect();
    owned.extend(runs::own(write, host, behind, |id| ids.contains(id) || is_owned(id))?);
    Ok(owned)
}

/// Owns those that have the turn of their key, or have none. Someone changed or deleted events that have live deliveries: nothing can
/// deliver those, so they go where a person looks, and do not stand in the way of others.
fn own_first(
    write: &Connection,
    host: HostId,
    candidates: Vec<Candidate>,
    now: Timestamp,
) -> Result<Vec<ClaimedDelivery>> {
    let (mut sound, mut broken) = (Vec::new(), Vec::new());
    for Candidate { id, attempts, event_seq, delivery, .. } in candidates {
        match delivery {
            Ok(delivery) => sound.push(((id, attempts), delivery)),
            Err(row) => broken.push(((id, attempts), event_seq, row)),
        }
    }
    if !broken.is_empty() {
        let found: Vec<_> = broken.iter().map(|(found, ..)| *found).collect();
        let call = PUT_DELIVERIES_ASIDE.call().bind(rows_as_json(&found)).bind_time(now);
        let aside = ids(&call.all(write)?)?;
        for ((id, _), event_seq, row) in broken {
            if aside.contains(&id) {
                quarantine::put_reference(write, Some(event_seq), &row, now)?;
            }
        }
    }
    if sound.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<_> = sound.iter().map(|(found, _)| *found).collect();
    let call = OWN_DELIVERIES.call().bind(rows_as_json(&found)).bind_time(now).bind(host.to_string());
    let owned = ids(&call.all(write)?)?;
    let deliveries = sound.into_iter().map(|(_, delivery)| delivery);
    Ok(deliveries.filter(|delivery| owned.contains(&delivery.id)).collect())
}

pub(super) fn ids(records: &[Record]) -> Result<HashSet<DeliveryId>> {
    records.iter().map(|record| Ok(DeliveryId(record.uuid("id")?))).collect()
}
