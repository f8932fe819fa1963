//! Rows that could not become events, with what was captured of them. Rows that were put aside by version 3 of the schema, and
//! events of live deliveries that somebody changed, have it in `observer_events`.

use std::collections::HashSet;

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    event_row::Columns,
    piece,
    statement::{Call, Record, rows_as_json, statements},
};
use crate::{
    Page, Quarantine, QuarantinedImage, QuarantinedRow, Result, StoreError, intake_batch::Rejected, page,
    quarantine::MAX_IDS, readable::readable, row::Row as _,
};

statements! {
    LIST_QUARANTINED = "-- list_quarantined
SELECT pk_quarantine, CAST(event_id AS BLOB) AS event_id, CAST(entity_type AS BLOB) AS entity_type,
       CAST(entity_id AS BLOB) AS entity_id, reason, quarantined_at
FROM observer_quarantine
WHERE pk_quarantine < ?1
ORDER BY pk_quarantine DESC LIMIT ?2";
    SHOW_QUARANTINED = "-- show_quarantined
SELECT q.pk_quarantine, q.event_id, q.entity_type, q.entity_id, q.reason, q.quarantined_at,
       coalesce(q.event_kind, e.event_kind) AS event_kind, coalesce(q.occurred_at, e.occurred_at) AS occurred_at,
       coalesce(q.data, e.data) AS data, coalesce(q.old, e.old) AS old
FROM observer_quarantine AS q LEFT JOIN observer_events AS e ON e.seq = q.event_seq
WHERE q.pk_quarantine = ?1";
    QUARANTINE_IMAGE = "-- quarantine_image
INSERT INTO observer_quarantine
    (event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor, traceparent,
     reason, quarantined_at)
VALUES (CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS TEXT), CAST(?5 AS TEXT), CAST(?6 AS TEXT),
        CAST(?7 AS TEXT), CAST(?8 AS TEXT), CAST(?9 AS TEXT), CAST(?10 AS TEXT), CAST(?11 AS TEXT), ?12, ?13)";
    QUARANTINE_REFERENCE = "-- quarantine_reference
INSERT INTO observer_quarantine (event_seq, event_id, entity_type, entity_id, reason, quarantined_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    QUARANTINED_IDS = "-- quarantined_ids
SELECT pk_quarantine FROM observer_quarantine
WHERE pk_quarantine BETWEEN ?1 AND ?2
ORDER BY pk_quarantine LIMIT ?3";
    THESE_QUARANTINED = "-- these_quarantined
SELECT pk_quarantine, coalesce(octet_length(data), 0) + coalesce(octet_length(old), 0) AS bytes
FROM observer_quarantine WHERE pk_quarantine IN (SELECT value FROM json_each(?1)) ORDER BY pk_quarantine";
    RETRY_QUARANTINED = "-- retry_quarantined
INSERT INTO observer_inbox
    (seq, event_seq, id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
     traceparent)
SELECT n.seq, q.event_seq, iif(q.event_seq IS NULL, q.event_id, NULL), q.entity_type, q.entity_id, q.event_kind,
       q.occurred_at, q.data, q.old, q.changed, q.tenant_id, q.actor, q.traceparent
FROM observer_quarantine AS q, observer_next AS n
WHERE q.pk_quarantine = ?1";
    DELETE_QUARANTINED = "-- delete_quarantined
DELETE FROM observer_quarantine WHERE pk_quarantine IN (SELECT value FROM json_each(?1))";
}

#[async_trait]
impl Quarantine for SqliteStore {
    async fn quarantined_page(&self, below: Option<i64>, limit: usize) -> Result<Page<QuarantinedRow, i64>> {
        let call = LIST_QUARANTINED.call().bind(below.unwrap_or(i64::MAX));
        self.inner
            .connections
            .read(move |connection| {
                let found = call.page(connection, page::rows(limit))?;
                let next = found.cut_at().map(|last| last.get("pk_quarantine")).transpose()?;
                let rows =
                    readable("observer_quarantine", &["pk_quarantine"], &found.records, quarantined_row);
                Ok(Page::new(rows, next))
            })
            .await
    }

    async fn quarantined_ids(&self, from: i64, up_to: i64) -> Result<Vec<i64>> {
        let call = QUARANTINED_IDS.call().bind(from).bind(up_to).bind_limit(MAX_IDS);
        self.inner
            .connections
            .read(move |connection| {
                call.all(connection)?.iter().map(|record| record.integer("pk_quarantine")).collect()
            })
            .await
    }

    async fn quarantined_row(&self, id: i64) -> Result<QuarantinedImage> {
        self.inner
            .connections
            .read(move |connection| {
                let record = SHOW_QUARANTINED.call().bind(id).optional(connection)?;
                let record = record.ok_or_else(|| no_row(id))?;
                Ok(QuarantinedImage {
                    row: quarantined_row(&record)?,
                    event_kind: lossy(&record, "event_kind")?,
                    occurred_at: lossy(&record, "occurred_at")?,
                    data: lossy(&record, "data")?,
                    old: lossy(&record, "old")?,
                })
            })
            .await
    }

    async fn require_quarantined(&self, ids: &[i64]) -> Result<()> {
        let wanted = ids.to_vec();
        let found = self.inner.connections.read(move |connection| chosen(connection, &wanted)).await?;
        let there: HashSet<i64> = found.into_iter().map(|(id, _)| id).collect();
        ids.iter().find(|id| !there.contains(id)).map_or(Ok(()), |id| Err(no_row(*id)))
    }

    async fn retry_quarantined(&self, ids: Vec<i64>) -> Result<Vec<i64>> {
        let retry = |write: &Connection, ids: &[i64]| {
            for id in ids {
                RETRY_QUARANTINED.call().bind(id).execute(write)?;
            }
            DELETE_QUARANTINED.call().bind(rows_as_json(ids)).execute(write)
        };
        let (ids, _) = self.quarantine_in_pieces("retry_quarantined", ids, retry).await?;
        Ok(ids)
    }

    async fn discard_quarantined(&self, ids: Vec<i64>) -> Result<usize> {
        let discard = |write: &Connection, ids: &[i64]| {
            DELETE_QUARANTINED.call().bind(rows_as_json(ids)).execute(write)
        };
        let (_, discarded) = self.quarantine_in_pieces("discard_quarantined", ids, discard).await?;
        Ok(discarded)
    }
}

impl SqliteStore {
    /// Does something to those of these rows that are there, some in each transaction. Returns them, and how many were still there.
    async fn quarantine_in_pieces(
        &self,
        name: &'static str,
        ids: Vec<i64>,
        work: impl Fn(&Connection, &[i64]) -> Result<usize> + Copy + Send + 'static,
    ) -> Result<(Vec<i64>, usize)> {
        let connections = &self.inner.connections;
        let chosen = connections.read(move |connection| chosen(connection, &ids)).await?;
        let (ids, weights): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
        let mut done = 0;
        for piece in piece::pieces(&weights) {
            let piece = ids[piece].to_vec();
            done += connections.write_piece(name, Sync::Now, move |write| work(write, &piece)).await?;
        }
        Ok((ids, done))
    }
}

/// The call that puts aside what is no event, with its images.
pub(super) fn image(columns: &Columns<'_>, reason: &str, now: Timestamp) -> Call {
    columns.bind(QUARANTINE_IMAGE.call()).bind(reason).bind_time(now)
}

/// Puts aside a row of `observer_events`.
pub(super) fn put_reference(
    write: &Connection,
    seq: Option<i64>,
    row: &Rejected,
    now: Timestamp,
) -> Result<()> {
    QUARANTINE_REFERENCE
        .call()
        .bind(seq)
        .bind(row.event_id.as_deref())
        .bind(row.entity_type.as_deref())
        .bind(row.entity_id.as_deref())
        .bind(&row.reason)
        .bind_time(now)
        .execute(write)?;
    Ok(())
}

/// Those of these rows that are there, in the order in which they were put aside, with their weights.
fn chosen(connection: &Connection, ids: &[i64]) -> Result<Vec<(i64, usize)>> {
    let records = THESE_QUARANTINED.call().bind(rows_as_json(ids)).all(connection)?;
    let read = |record: &Record| {
        let bytes = usize::try_from(record.integer("bytes")?).unwrap_or(0);
        Ok((record.integer("pk_quarantine")?, piece::weight(bytes)))
    };
    records.iter().map(read).collect()
}

fn no_row(id: i64) -> StoreError {
    StoreError::NotFound { what: "quarantined row", name: id.to_string() }
}

fn lossy(record: &Record, column: &str) -> Result<Option<String>> {
    Ok(record.get::<Option<&[u8]>>(column)?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

fn quarantined_row(record: &Record) -> Result<QuarantinedRow> {
    Ok(QuarantinedRow {
        id: record.integer("pk_quarantine")?,
        // As it was found, a UUID or not.
        event_id: lossy(record, "event_id")?.unwrap_or_default(),
        entity_type: lossy(record, "entity_type")?,
        entity_id: lossy(record, "entity_id")?,
        reason: record.string("reason")?,
        quarantined_at: record.time("quarantined_at")?,
    })
}
