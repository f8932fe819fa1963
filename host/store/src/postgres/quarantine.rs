//! Rows that could not become events: put aside, shown, tried again, discarded.

use std::collections::HashSet;

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use uuid::Uuid;

use super::{
    PostgresStore,
    connection::Sync,
    session::Session,
    statement::{Record, statements},
    time::At,
};
use crate::{
    Page, Quarantine, QuarantinedImage, QuarantinedRow, Result, StoreError, intake_batch::Rejected, page,
    quarantine::MAX_IDS, readable::readable, row::Row as _,
};

statements! {
    /// Rows of the inbox, with all that they hold, as it is: nothing of it is read.
    SET_ROWS_ASIDE = "-- set_rows_aside
WITH gone AS (
    DELETE FROM observer_inbox AS i USING unnest($1::bigint[], $2::bigint[]) AS t (place, seq)
    WHERE i.place = t.place AND i.seq = t.seq
    RETURNING i.*
)
INSERT INTO observer_quarantine
    (event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent, reason,
     quarantined_at)
SELECT coalesce(g.id, r.event_id), g.entity_type, g.entity_id, g.event_kind, g.occurred_at, g.data, g.old, g.changed,
       g.tenant_id, g.actor, g.traceparent, r.reason, $5
FROM gone AS g JOIN unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[]) AS r (place, seq, event_id, reason)
     USING (place, seq)
ORDER BY place, seq";
    /// Events that can not be read. Those that are not there leave their reason only.
    SET_EVENTS_ASIDE = "-- set_events_aside
WITH gone AS (
    DELETE FROM observer_events WHERE seq = ANY($1) RETURNING *
)
INSERT INTO observer_quarantine
    (event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent, reason,
     quarantined_at)
SELECT coalesce(g.id, r.event_id), coalesce(g.entity_type, r.entity_type), coalesce(g.entity_id, r.entity_id), g.event_kind,
       g.occurred_at, g.data::text, g.old::text, g.changed::text, g.tenant_id, g.actor, g.traceparent, r.reason, $6
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[]) AS r (seq, event_id, entity_type, entity_id, reason)
     LEFT JOIN gone AS g USING (seq)
ORDER BY seq";
    /// Texts as bytes: what was put aside may be what can not be read.
    LIST_QUARANTINED = "-- list_quarantined
SELECT pk_quarantine, event_id, convert_to(entity_type, getdatabaseencoding()) AS entity_type,
       convert_to(entity_id, getdatabaseencoding()) AS entity_id, reason, quarantined_at
FROM observer_quarantine
WHERE pk_quarantine < $1
ORDER BY pk_quarantine DESC LIMIT $2";
    QUARANTINED_IDS = "-- quarantined_ids
SELECT pk_quarantine FROM observer_quarantine
WHERE pk_quarantine BETWEEN $1 AND $2
ORDER BY pk_quarantine LIMIT $3";
    THESE_QUARANTINED = "-- these_quarantined
SELECT pk_quarantine FROM observer_quarantine WHERE pk_quarantine = ANY($1) ORDER BY pk_quarantine";
    /// The same with all that it holds.
    SHOW_QUARANTINED = "-- show_quarantined
SELECT pk_quarantine, event_id, convert_to(entity_type, getdatabaseencoding()) AS entity_type,
       convert_to(entity_id, getdatabaseencoding()) AS entity_id, convert_to(event_kind, getdatabaseencoding()) AS event_kind,
       occurred_at, convert_to(data, getdatabaseencoding()) AS data, convert_to(old, getdatabaseencoding()) AS old, reason,
       quarantined_at
FROM observer_quarantine
WHERE pk_quarantine = $1";
    LOCK_QUARANTINED = "-- lock_quarantined
SELECT pk_quarantine FROM observer_quarantine
WHERE pk_quarantine = ANY($1)
ORDER BY pk_quarantine
FOR UPDATE";
    /// Back into the inbox, with new numbers, in the order in which they were captured. A row without an image had a problem.
    RETRY_QUARANTINED = "-- retry_quarantined
WITH gone AS (
    DELETE FROM observer_quarantine WHERE pk_quarantine = ANY($1) RETURNING *
)
INSERT INTO observer_inbox
    (place, seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent, problem)
SELECT g.seq, 0, g.event_id, g.entity_type, g.entity_id, coalesce(g.event_kind, ''), coalesce(g.occurred_at, g.quarantined_at),
       g.data, g.old, g.changed, g.tenant_id, g.actor, g.traceparent, CASE WHEN g.data IS NULL THEN g.reason END
FROM (SELECT o.*, nextval('observer_events_seq') AS seq FROM (SELECT * FROM gone ORDER BY pk_quarantine) AS o) AS g";
    DISCARD_QUARANTINED = "-- discard_quarantined
DELETE FROM observer_quarantine WHERE pk_quarantine = ANY($1)";
}

/// The key of a row in the inbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) place: i64,
    pub(super) seq: i64,
}

/// Where a row is that is put aside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aside {
    /// In the inbox.
    Inbox(Place),
    /// Among the events, by its seq; or it is gone from there.
    Event(i64),
}

/// Moves rows to quarantine.
pub(super) async fn set_aside(
    session: &mut Session<'_>,
    rejected: &[(Aside, Rejected)],
    now: Timestamp,
) -> Result<()> {
    let mut rows: Vec<(Place, &Rejected)> = Vec::new();
    let mut events: Vec<(i64, &Rejected)> = Vec::new();
    for (aside, row) in rejected {
        match aside {
            Aside::Inbox(place) => rows.push((*place, row)),
            Aside::Event(seq) => events.push((*seq, row)),
        }
    }
    if !rows.is_empty() {
        SET_ROWS_ASIDE
            .call()
            .bind(rows.iter().map(|(place, _)| place.place).collect::<Vec<_>>())
            .bind(rows.iter().map(|(place, _)| place.seq).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| id(row)).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| session.storable(&row.reason)).collect::<Vec<_>>())
            .bind_time(now)
            .execute(session)
            .await?;
    }
    if !events.is_empty() {
        SET_EVENTS_ASIDE
            .call()
            .bind(events.iter().map(|(seq, _)| *seq).collect::<Vec<_>>())
            .bind(events.iter().map(|(_, row)| id(row)).collect::<Vec<_>>())
            .bind(events.iter().map(|(_, row)| row.entity_type.as_deref()).collect::<Vec<_>>())
            .bind(events.iter().map(|(_, row)| row.entity_id.as_deref()).collect::<Vec<_>>())
            .bind(events.iter().map(|(_, row)| session.storable(&row.reason)).collect::<Vec<_>>())
            .bind_time(now)
            .execute(session)
            .await?;
    }
    Ok(())
}

fn id(row: &Rejected) -> Option<Uuid> {
    row.event_id.as_ref().and_then(|id| id.parse().ok())
}

#[async_trait]
impl Quarantine for PostgresStore {
    async fn quarantined_page(&self, below: Option<i64>, limit: usize) -> Result<Page<QuarantinedRow, i64>> {
        let mut session = self.inner.connections.read().await?;
        let call = LIST_QUARANTINED.call().bind(below.unwrap_or(i64::MAX));
        let found = call.page(&mut session, page::rows(limit)).await?;
        let next = found.cut_at().map(|last| last.get("pk_quarantine")).transpose()?;
        Ok(Page::new(readable("observer_quarantine", &["pk_quarantine"], &found.records, row), next))
    }

    async fn quarantined_ids(&self, from: i64, up_to: i64) -> Result<Vec<i64>> {
        let mut session = self.inner.connections.read().await?;
        ids(&QUARANTINED_IDS.call().bind(from).bind(up_to).bind_limit(MAX_IDS).all(&mut session).await?)
    }

    async fn quarantined_row(&self, id: i64) -> Result<QuarantinedImage> {
        let mut session = self.inner.connections.read().await?;
        match SHOW_QUARANTINED.call().bind(id).optional(&mut session).await? {
            Some(record) => image(&record),
            None => Err(no_row(id)),
        }
    }

    async fn require_quarantined(&self, ids: &[i64]) -> Result<()> {
        let there: HashSet<i64> = self.these(ids).await?.into_iter().collect();
        ids.iter().find(|id| !there.contains(id)).map_or(Ok(()), |id| Err(no_row(*id)))
    }

    async fn retry_quarantined(&self, ids: Vec<i64>) -> Result<Vec<i64>> {
        let mut put_back = Vec::new();
        for piece in self.these(&ids).await?.chunks(PIECE) {
            let work = self.inner.connections.write("retry_quarantined", Sync::Now, |session| {
                Box::pin(async move {
                    let found = lock(session, piece).await?;
                    RETRY_QUARANTINED.call().bind(&found).execute(session).await?;
                    Ok(found)
                })
            });
            put_back.extend(work.await?);
        }
        Ok(put_back)
    }

    async fn discard_quarantined(&self, ids: Vec<i64>) -> Result<usize> {
        let mut discarded = 0;
        for piece in self.these(&ids).await?.chunks(PIECE) {
            let work = self.inner.connections.write("discard_quarantined", Sync::Now, |session| {
                Box::pin(async move {
                    let found = lock(session, piece).await?;
                    DISCARD_QUARANTINED.call().bind(found).execute(session).await
                })
            });
            discarded += work.await?;
        }
        Ok(discarded)
    }
}

impl PostgresStore {
    /// Those of these rows that are there, in order.
    async fn these(&self, numbers: &[i64]) -> Result<Vec<i64>> {
        let mut session = self.inner.connections.read().await?;
        ids(&THESE_QUARANTINED.call().bind(numbers).all(&mut session).await?)
    }
}

/// Rows that are moved in one transaction.
const PIECE: usize = 200;

/// Those of these rows that are still there.
async fn lock(session: &mut Session<'_>, numbers: &[i64]) -> Result<Vec<i64>> {
    ids(&LOCK_QUARANTINED.call().bind(numbers).all(session).await?)
}

fn ids(records: &[Record]) -> Result<Vec<i64>> {
    records.iter().map(|record| record.get("pk_quarantine")).collect()
}

fn no_row(id: i64) -> StoreError {
    StoreError::NotFound { what: "quarantined row", name: id.to_string() }
}

fn row(record: &Record) -> Result<QuarantinedRow> {
    let At(quarantined_at) = record.get("quarantined_at")?;
    Ok(QuarantinedRow {
        id: record.get("pk_quarantine")?,
        event_id: record.optional_uuid("event_id")?.map(|id| id.to_string()).unwrap_or_default(),
        entity_type: lossy(record, "entity_type")?,
        entity_id: lossy(record, "entity_id")?,
        reason: record.get("reason")?,
        quarantined_at,
    })
}

fn image(record: &Record) -> Result<QuarantinedImage> {
    Ok(QuarantinedImage {
        row: row(record)?,
        event_kind: lossy(record, "event_kind")?,
        occurred_at: record.optional_time("occurred_at")?.map(|at| at.to_string()),
        data: lossy(record, "data")?,
        old: lossy(record, "old")?,
    })
}

/// A text that is read as bytes.
fn lossy(record: &Record, column: &str) -> Result<Option<String>> {
    let bytes = record.get::<Option<&[u8]>>(column)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}
