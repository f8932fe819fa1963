//! Running deliveries: claimed and handed back. `claimable` finds what can be claimed; `completion` ends what runs.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{Care, DeliveryId, EntityEvent, Losses, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore,
    claimable::{self, Found, Room, Search},
    completion,
    connection::Sync,
    event_row, locks,
    quarantine::{self, Aside},
    runs,
    session::Session,
    statement::{Record, int, statements},
    time::At,
};
use crate::{
    ClaimFirst, ClaimRequest, ClaimedDelivery, Claims, Completion, CompletionReport, HostId, Lane, Result,
    intake_batch::Rejected, odd_delivery, row::Row as _, suspects::read_losses,
};

statements! {
    DELETE_DELIVERIES = "-- delete_deliveries
DELETE FROM observer_deliveries WHERE id = ANY($1)";
    RELEASE_DELIVERIES = "-- release_deliveries
UPDATE observer_deliveries AS d
SET state = CASE WHEN $4::timestamptz IS NULL THEN 'ready' ELSE 'waiting' END, next_attempt_at = $4,
    waiting_since = $5, owner = NULL,
    attempts = d.attempts - 1, begun = false
FROM unnest($1::uuid[], $2::integer[]) AS claim (id, attempts)
WHERE d.id = ANY ($1) AND d.id = claim.id AND d.attempts = claim.attempts AND d.state = 'running' AND d.owner = $3";
}

#[async_trait]
impl Claims for PostgresStore {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Vec<ClaimedDelivery>> {
        if request.limit == 0 {
            return Ok(Vec::new());
        }
        let connections = &self.inner.connections;
        // Looked at without a transaction.
        let mut session = connections.read().await?;
        let Some(found) = claimable::find(&mut session, request).await? else {
            return Ok(Vec::new());
        };
        drop(session);
        connections.write("claim", Sync::Later, |session| Box::pin(claim(session, found, request))).await
    }

    async fn next_due(&self, except: &[Lane]) -> Result<Option<Timestamp>> {
        let mut session = self.inner.connections.read().await?;
        claimable::next_due(&mut session, except).await
    }

    async fn complete(&self, host: HostId, completions: Vec<Completion>) -> Result<CompletionReport> {
        if completions.is_empty() {
            return Ok(CompletionReport::default());
        }
        let completions = &completions;
        self.inner
            .connections
            .write("complete", Sync::Later, |session| {
                Box::pin(completion::complete(session, host, completions))
            })
            .await
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
        let deliveries = &deliveries;
        self.inner
            .connections
            .write("release", Sync::Later, |session| {
                Box::pin(release(session, host, deliveries, (pause, now)))
            })
            .await
    }
}

async fn claim(
    session: &mut Session<'_>,
    found: Found<'_>,
    request: ClaimRequest<'_>,
) -> Result<Vec<ClaimedDelivery>> {
    let owned = own(session, found, request).await?;
    with_events(session, owned, request.now).await
}

/// Reads the events of deliveries that were claimed.
pub(super) async fn with_events(
    session: &mut Session<'_>,
    owned: Vec<Owned>,
    now: Timestamp,
) -> Result<Vec<ClaimedDelivery>> {
    let places: Vec<_> = owned.iter().map(|owned| (owned.event_seq, owned.event_at)).collect();
    let events = event_row::read_all(session, &places).await?;
    let mut claimed = Vec::with_capacity(owned.len());
    let mut rejected = Vec::new();
    for owned in owned {
        match events.get(&owned.event_seq) {
            Some(Ok(event)) => claimed.push(owned.into_claimed(Arc::clone(event))),
            Some(Err(row)) => rejected.push((owned, row.clone())),
            None => rejected.push((owned, event_row::missing())),
        }
    }
    let rejected = rejected
        .into_iter()
        .map(|(owned, row)| (owned.id, owned.event_seq, row.of_delivery_to(&owned.observer)))
        .collect();
    put_aside(session, rejected, now).await?;
    Ok(claimed)
}

/// A delivery that was claimed; its event is not read yet.
pub(super) struct Owned {
    id: Uuid,
    event_seq: i64,
    event_at: Timestamp,
    position: i32,
    priority: i32,
    due: Option<Timestamp>,
    observer: Arc<str>,
    action: Arc<str>,
    action_type: Arc<str>,
    attempt: u32,
    attempts_before: u32,
    losses: Losses,
    event_bytes: usize,
    ordering_key: Option<Arc<str>>,
}

/// Claims the parts one after the other, each in its order, and then what follows the first of each key.
async fn own(session: &mut Session<'_>, found: Found<'_>, request: ClaimRequest<'_>) -> Result<Vec<Owned>> {
    let mut owned = Vec::new();
    // The sides that have no more, or whose next event is too large.
    let mut ended = Vec::new();
    for (which, most) in found.share.parts(request.limit) {
        let room = left(&owned, request);
        let room = Room { rows: room.rows.min(most), ..room };
        if room.rows > 0 && !ended.contains(&which) {
            let mut some = own_some(session, which, found.search, room, request).await?;
            if some.len() < room.rows {
                ended.push(which);
            }
            owned.append(&mut some);
        }
    }
    let room = left(&owned, request);
    let mut behind = runs::own(session, &owned, room, request).await?;
    owned.append(&mut behind);
    Ok(owned)
}

/// What there is room for beside these.
fn left(owned: &[Owned], request: ClaimRequest<'_>) -> Room {
    let bytes: usize = owned.iter().map(|owned| owned.event_bytes).sum();
    Room {
        rows: request.limit - owned.len(),
        bytes: request.max_bytes.saturating_sub(bytes),
        has_first: owned.is_empty(),
    }
}

async fn own_some(
    session: &mut Session<'_>,
    which: ClaimFirst,
    search: Search<'_>,
    room: Room,
    ClaimRequest { host, now, .. }: ClaimRequest<'_>,
) -> Result<Vec<Owned>> {
    let owned = match which {
        ClaimFirst::Due => claimable::claim_due(session, host, room, search, now).await?,
        ClaimFirst::Ready => claimable::claim_ready(session, host, room, search).await?,
    };
    let mut owned = read_owned(session, &owned, now).await?;
    match which {
        ClaimFirst::Due => owned.sort_by_key(|owned| owned.due),
        ClaimFirst::Ready => {
            owned.sort_by_key(Owned::order);
        }
    }
    Ok(owned)
}

/// Reads what was claimed. What cannot be read is put aside.
pub(super) async fn read_owned(
    session: &mut Session<'_>,
    records: &[Record],
    now: Timestamp,
) -> Result<Vec<Owned>> {
    let mut owned = Vec::with_capacity(records.len());
    let mut odd = Vec::new();
    for record in records {
        match odd_delivery::check(record) {
            Ok(()) => owned.push(Owned::read(record)?),
            Err(why) => {
                odd.push((record.get("id")?, record.get("event_seq")?, odd_delivery::rejected(record, &why)));
            }
        }
    }
    put_aside(session, odd, now).await?;
    Ok(owned)
}

impl Owned {
    fn read(record: &Record) -> Result<Self> {
        let name = |column: &str| record.get::<&str>(column).map(Arc::from);
        Ok(Self {
            id: record.get("id")?,
            event_seq: record.get("event_seq")?,
            event_at: record.time("event_at")?,
            position: record.get("position")?,
            priority: record.get("priority")?,
            due: record.optional_time("due")?,
            observer: name("observer")?,
            action: name("action")?,
            action_type: name("action_type")?,
            attempt: record.count("attempts")?,
            attempts_before: record.count("attempts_before")?,
            losses: read_losses(record)?,
            event_bytes: usize::try_from(record.integer("event_bytes")?).unwrap_or(0),
            ordering_key: record.get::<Option<&str>>("ordering_key")?.map(Arc::from),
        })
    }

    /// Its place among those that are ready.
    pub(super) const fn order(&self) -> (std::cmp::Reverse<i32>, i64, i32) {
        (std::cmp::Reverse(self.priority), self.event_seq, self.position)
    }

    /// Its ordering key, if others of that may be claimed together with it: no attempt before this one counts, and no host
    /// was lost with it.
    pub(super) fn key_to_lead(&self) -> Option<&Arc<str>> {
        let counted = self.attempt.saturating_sub(self.attempts_before).saturating_sub(self.losses.uncharged);
        self.ordering_key.as_ref().filter(|_| counted == 1 && self.losses.care() == Care::Ordinary)
    }

    /// Its ordering key, and its place among those that have it.
    pub(super) fn place(&self) -> (Option<&str>, (i64, i32, Uuid)) {
        (self.ordering_key.as_deref(), (self.event_seq, self.position, self.id))
    }

    pub(super) fn observer(&self) -> &str {
        &self.observer
    }

    /// How many of its hosts died in a row.
    pub(super) const fn losses(&self) -> u32 {
        self.losses.in_a_row
    }

    fn into_claimed(self, event: Arc<EntityEvent>) -> ClaimedDelivery {
        ClaimedDelivery {
            id: DeliveryId(self.id),
            event,
            observer: self.observer,
            action: self.action,
            action_type: self.action_type,
            attempt: self.attempt,
            attempts_before: self.attempts_before,
            losses: self.losses,
            event_bytes: self.event_bytes,
            ordering_key: self.ordering_key,
        }
    }
}

/// Someone changed or deleted events that have live deliveries, or these themselves: nothing can deliver them, so they go where a person
/// looks, and do not stand in the way of others.
async fn put_aside(
    session: &mut Session<'_>,
    rejected: Vec<(Uuid, i64, Rejected)>,
    now: Timestamp,
) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = rejected.iter().map(|(id, ..)| *id).collect();
    let rows: Vec<_> = rejected.into_iter().map(|(_, seq, row)| (Aside::Event(seq), row)).collect();
    quarantine::set_aside(session, &rows, now).await?;
    DELETE_DELIVERIES.call().bind(ids).execute(session).await?;
    Ok(())
}

async fn release(
    session: &mut Session<'_>,
    host: HostId,
    deliveries: &[(DeliveryId, u32)],
    (pause, now): (Option<Duration>, Timestamp),
) -> Result<usize> {
    let ids: Vec<Uuid> = deliveries.iter().map(|(id, _)| id.0).collect();
    locks::keys_of(session, &ids).await?;
    completion::join_by_hash(session).await?;
    RELEASE_DELIVERIES
        .call()
        .bind(ids)
        .bind(deliveries.iter().map(|(_, attempt)| int(*attempt)).collect::<Vec<_>>())
        .bind(host.0)
        .bind(pause.map(|pause| At(now.plus(pause))))
        .bind_time(now)
        .execute(session)
        .await
}
