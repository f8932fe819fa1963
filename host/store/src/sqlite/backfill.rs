//! Existing rows become events: they are written to the view to which changes are written, so their images are made alike.

use aftercommit_core::{EventKind, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    capture_table::Table,
    captures,
    connection::Sync,
    failure,
    piece::Pace,
    predicate,
    row_json::{heading, identifier, key, literal},
    row_view::RowView,
    statement::{Record, rows_as_json, statements},
};
use crate::{Backfill, BackfillRequest, Backfills, Capture, Result, StoreError, commands, row::Row as _};

statements! {
    FIND_BACKFILL = "-- find_backfill
SELECT table_name, condition, kind, last, last_id, rows, events, started_at, finished_at
FROM observer_backfills WHERE table_name = ?1";
    START_BACKFILL = "-- start_backfill
INSERT OR REPLACE INTO observer_backfills (table_name, condition, kind, started_at) VALUES (?1, ?2, ?3, ?4)";
    NOTE_BACKFILL = "-- note_backfill
UPDATE observer_backfills
SET last = coalesce(?2, last), last_id = coalesce(?3, last_id), rows = rows + ?4, events = events + ?5, finished_at = ?6
WHERE table_name = ?1";
}

#[async_trait]
impl Backfills for SqliteStore {
    async fn start_backfill(&self, request: BackfillRequest, now: Timestamp) -> Result<Backfill> {
        self.inner
            .connections
            .write("start_backfill", Sync::Now, move |write| start(write, request, now))
            .await
    }

    async fn backfill_page(&self, table: &str, rows: usize, now: Timestamp) -> Result<Backfill> {
        let (mut left, mut pace) = (rows, Pace::default());
        loop {
            let (table, wanted) = (table.to_owned(), left.min(pace.rows()));
            let work = move |write: &Connection| page(write, &table, wanted, now);
            let (written, held) = self.inner.connections.timed_piece("backfill_page", Sync::Now, work).await;
            let (made, backfill) = written?;
            pace.held(held);
            left -= made;
            if left == 0 || made < wanted || backfill.finished_at.is_some() {
                return Ok(backfill);
            }
        }
    }
}

fn start(write: &Connection, request: BackfillRequest, now: Timestamp) -> Result<Backfill> {
    let capture = captures::find(write, &request.table)?.capture;
    let table = capture.table;
    if !matches!(request.kind, EventKind::Created | EventKind::Custom) {
        return Err(StoreError::Refused(format!(
            "a backfill makes events of the kind created or custom, not {}",
            request.kind
        )));
    }
    if let Some(condition) = &request.condition {
        let present = Table::find(write, &table)?.ok_or_else(|| no_backfill(&table))?;
        predicate::compile(&present, &capture.entity_type, &capture.key, condition)?;
    }
    if let Some(record) = FIND_BACKFILL.call().bind(&table).optional(write)?
        && !request.restart
    {
        let present = backfill(&record)?;
        if present.finished_at.is_none() {
            if (&present.condition, present.kind) == (&request.condition, request.kind) {
                return Ok(present);
            }
            return Err(StoreError::Refused(format!(
                "a backfill of `{table}` with another request has not ended; let it go on, or begin anew with `--restart`"
            )));
        }
    }
    START_BACKFILL
        .call()
        .bind(&table)
        .bind(request.condition)
        .bind(request.kind.as_str())
        .bind_time(now)
        .execute(write)?;
    found(write, &table)
}

/// Makes events of so many rows; how many there were.
fn page(write: &Connection, table: &str, rows: usize, now: Timestamp) -> Result<(usize, Backfill)> {
    let written = captures::find(write, table)?;
    if captures::is_older(&written) {
        return Err(StoreError::Refused(format!(
            "the triggers of `{table}` were written by an older program; run `{}`",
            commands::refresh(table)
        )));
    }
    let capture = written.capture;
    let is_finished = found(write, &capture.table)?.finished_at.is_some();
    let made = if is_finished || rows == 0 { 0 } else { write_rows(write, &capture, rows, now)? };
    Ok((made, found(write, &capture.table)?))
}

/// Makes events of the next rows in the order of the key, and notes the last.
fn write_rows(write: &Connection, capture: &Capture, limit: usize, now: Timestamp) -> Result<usize> {
    let table = Table::find(write, &capture.table)?.ok_or_else(|| no_backfill(&capture.table))?;
    let record = FIND_BACKFILL
        .call()
        .bind(&capture.table)
        .optional(write)?
        .ok_or_else(|| no_backfill(&capture.table))?;
    let kind: EventKind = record.word("kind")?;
    let after: Option<Vec<String>> =
        record.optional_text("last")?.map(|_| record.json("last")).transpose()?;
    let names: Vec<_> = capture.key.iter().map(|name| identifier(name)).collect();
    let keys = names.join(", ");
    let key_columns: Vec<_> = capture
        .key
        .iter()
        .zip(&names)
        .filter_map(|(name, quoted)| Some((table.column(name)?, quoted.as_str())))
        .collect();
    let mut wanted: Vec<_> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    if let Some(after) = after {
        wanted.push(format!("({keys}) > ({})", after.join(", ")));
    }
    let conditions = [capture.condition.as_deref(), record.optional_text("condition")?];
    let conditions = conditions
        .into_iter()
        .flatten()
        .map(|condition| {
            let compiled = predicate::compile(&table, &capture.entity_type, &capture.key, condition)?;
            Ok(format!("({})", compiled.created))
        })
        .collect::<Result<Vec<_>>>()?;
    let is_wanted = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let rest = format!(
        "FROM {} AS new WHERE {} ORDER BY {keys} LIMIT {limit}",
        identifier(&capture.table),
        wanted.join(" AND ")
    );
    let literals: Vec<_> = names.iter().map(|name| format!("quote({name})")).collect();
    let failed = |error: rusqlite::Error| failure::of_step("backfill_rows", &error);
    let mut page = write
        .prepare(&format!("SELECT {}, {}, {is_wanted} {rest}", key(&key_columns), literals.join(", ")))
        .map_err(failed)?;
    let mut records = page.query(()).map_err(failed)?;
    let (mut made, mut events, mut last) = (0, 0_i64, None);
    while let Some(row) = records.next().map_err(failed)? {
        let read = |column: usize| row.get::<_, String>(column).map_err(failed);
        let literals = (1..=names.len()).map(read).collect::<Result<Vec<_>>>()?;
        events += row.get::<_, i64>(names.len() + 1).map_err(failed)?;
        last = Some((read(0)?, literals));
        made += 1;
    }
    drop(records);
    #[cfg(feature = "conformance")]
    super::steps::count(write, &page);
    let view = RowView::of(capture.columns.len());
    let columns: Vec<_> = capture.columns.iter().map(|name| identifier(name)).collect();
    let described =
        capture.columns.iter().map(|name| table.column(name).cloned()).collect::<Option<Vec<_>>>();
    let described = described.ok_or_else(|| {
        StoreError::Refused(format!(
            "a column of `{0}` that is captured is gone; run `{1}`",
            capture.table,
            commands::refresh(&capture.table)
        ))
    })?;
    let insert = format!(
        "INSERT INTO {}(kind, entity_type, names, key, {}) SELECT '{kind}', {}, {}, {}, {} \
         FROM (SELECT new.*, {is_wanted} AS \"aftercommit is wanted\" {rest}) WHERE \"aftercommit is wanted\"",
        view.rows(),
        view.value_columns(),
        literal(&capture.entity_type),
        literal(&heading(&described)),
        key(&key_columns),
        columns.join(", ")
    );
    let mut insert = write.prepare(&insert).map_err(failed)?;
    insert.execute(()).map_err(failed)?;
    #[cfg(feature = "conformance")]
    super::steps::count(write, &insert);
    let (last_id, last) = last.unzip();
    NOTE_BACKFILL
        .call()
        .bind(&capture.table)
        .bind(last.map(|literals| rows_as_json(&literals)))
        .bind(last_id)
        .bind(i64::try_from(made).unwrap_or(i64::MAX))
        .bind(events)
        .bind((made < limit).then(|| now.to_string()))
        .execute(write)?;
    Ok(made)
}

fn found(connection: &Connection, table: &str) -> Result<Backfill> {
    match FIND_BACKFILL.call().bind(table).optional(connection)? {
        Some(record) => backfill(&record),
        None => Err(no_backfill(table)),
    }
}

fn no_backfill(table: &str) -> StoreError {
    StoreError::NotFound { what: "backfill of the table", name: table.to_owned() }
}

fn backfill(record: &Record) -> Result<Backfill> {
    Ok(Backfill {
        table: record.string("table_name")?,
        condition: record.optional_string("condition")?,
        kind: record.word("kind")?,
        rows: record.integer("rows")?.unsigned_abs(),
        events: record.integer("events")?.unsigned_abs(),
        estimate: None,
        last: record.optional_string("last_id")?,
        started_at: record.time("started_at")?,
        finished_at: record.optional_time("finished_at")?,
    })
}
