//! Existing rows become events, page by page in the order of the key.
//!
//! The table belongs to somebody else, and everything is read with our rights: so the session finds names in `pg_catalog` only,
//! policies of row-level security are not run but refused, and the table is looked at after it was locked. The rows
//! of a page are locked while their events are made: an event of a change that happens at the same time is before or
//! after that of the backfill, as its image is.

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{
    PostgresStore, capture_making,
    capture_record::{self, Written},
    capture_table::Table,
    connection::{Sync, identifier},
    failure, predicate, safe_reading,
    session::Session,
    sql_text::literal,
    statement::{Record, statements},
};
use sqlx::Row as _;

use crate::{Backfill, BackfillRequest, Backfills, Result, StoreError, commands, row::Row as _};

/// The time of an event of a backfill.
const NOW: &str = "pg_catalog.clock_timestamp()";

statements! {
    FIND_BACKFILL = "-- find_backfill
SELECT table_name, condition, event_kind, last_key, last, row_count, event_count, started_at, finished_at
FROM observer_backfills WHERE table_name = $1
FOR UPDATE";
    START_BACKFILL = "-- start_backfill
INSERT INTO observer_backfills (table_name, condition, event_kind, started_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (table_name) DO UPDATE
SET condition = excluded.condition, event_kind = excluded.event_kind, last_key = NULL, last = NULL, row_count = 0,
    event_count = 0, started_at = excluded.started_at, finished_at = NULL";
    ADVANCE_BACKFILL = "-- advance_backfill
UPDATE observer_backfills
SET last_key = coalesce($2, last_key), last = coalesce($3, last), row_count = row_count + $4, event_count = event_count + $5,
    finished_at = $6
WHERE table_name = $1";
    ESTIMATE_ROWS = "-- estimate_rows
SELECT sum(greatest(c.reltuples, 0))::bigint AS rows
FROM pg_class AS c WHERE c.oid IN (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1::oid)) AND c.relkind = 'r'";
    /// Types by their names with the schema: `character` is one of a single character, and `pg_catalog.bpchar` of any number. A
    /// domain is compared as what it is based on.
    KEY_COLUMNS = "-- key_columns
SELECT CASE WHEN t.oid = a.type THEN format('new.%I', k.name) ELSE format('new.%I::%I.%I', k.name, n.nspname, t.typname) END AS column,
       format('%I.%I', n.nspname, t.typname) AS type
FROM unnest($2::text[]) WITH ORDINALITY AS k (name, place) JOIN observer_attributes($1) AS a ON a.name = k.name
     JOIN pg_type AS t ON t.oid = observer_base_type(a.type) JOIN pg_namespace AS n ON n.oid = t.typnamespace
ORDER BY k.place";
    EXPRESSIONS = "-- expressions
SELECT observer_image_expression($1, 'new', $2) AS image, observer_key_expression($1, 'new', $3) AS key";
}

#[async_trait]
impl Backfills for PostgresStore {
    async fn start_backfill(&self, request: BackfillRequest, now: Timestamp) -> Result<Backfill> {
        let connections = &self.inner.connections;
        let request = &request;
        connections.write("start_backfill", Sync::Now, |session| Box::pin(start(session, request, now))).await
    }

    async fn backfill_page(&self, table: &str, rows: usize, now: Timestamp) -> Result<Backfill> {
        let connections = &self.inner.connections;
        let schema = connections.schema();
        connections
            .write("backfill_page", Sync::Later, |session| Box::pin(page(session, schema, table, rows, now)))
            .await
    }
}

async fn start(session: &mut Session<'_>, request: &BackfillRequest, now: Timestamp) -> Result<Backfill> {
    let written = capture_record::written_of(session, &request.table).await?;
    let name = &written.capture.table;
    if written.capture.change_log.is_some() {
        return Err(StoreError::Refused(format!(
            "`{name}` is a change log, whose rows are events and not entities; capture the tables that it tells of, and backfill those"
        )));
    }
    let Some(table) = Table::find(session, name).await? else { return Err(gone(name)) };
    if let Some(condition) = &request.condition {
        let names = (written.capture.entity_type.as_str(), &written.capture.key[..]);
        predicate::compile(session, &table, names, condition, (NOW, None)).await?;
    }
    if let Some(record) = FIND_BACKFILL.call().bind(name).optional(session).await? {
        let found = read(&record)?;
        if found.finished_at.is_none() && !request.restart {
            if found.condition == request.condition && found.kind == request.kind {
                return estimated(session, &table, found).await;
            }
            return Err(StoreError::Refused(format!(
                "an unfinished backfill of `{name}` with another condition or kind is at {} rows; go on with it by the command that began \
                 it, or begin anew with `--restart`",
                found.rows
            )));
        }
    }
    START_BACKFILL
        .call()
        .bind(name)
        .bind(&request.condition)
        .bind(request.kind.as_str())
        .bind_time(now)
        .execute(session)
        .await?;
    let begun = Backfill {
        table: name.clone(),
        condition: request.condition.clone(),
        kind: request.kind,
        rows: 0,
        events: 0,
        estimate: None,
        last: None,
        started_at: now,
        finished_at: None,
    };
    estimated(session, &table, begun).await
}

async fn page(
    session: &mut Session<'_>,
    schema: &str,
    table: &str,
    rows: usize,
    now: Timestamp,
) -> Result<Backfill> {
    let written = capture_record::written_of(session, table).await?;
    let name = &written.capture.table;
    let Some(record) = FIND_BACKFILL.call().bind(name).optional(session).await? else {
        return Err(StoreError::NotFound { what: "backfill of the table", name: name.clone() });
    };
    let mut progress = read(&record)?;
    let last_key: Option<Vec<String>> = record.get("last_key")?;
    let Some(found) = Table::find(session, name).await? else { return Err(gone(name)) };
    if progress.finished_at.is_some() {
        return estimated(session, &found, progress).await;
    }
    let progress_estimate = estimated(session, &found, progress.clone()).await?.estimate;
    session.run("lock_table", &format!("LOCK TABLE {} IN ROW SHARE MODE", found.relation.quoted())).await?;
    // What is read, and how, is decided now that no column can get another type any more.
    let Some(found) = Table::find(session, name).await? else { return Err(gone(name)) };
    let statement =
        statement(session, schema, &found, &written, &progress, (last_key.as_deref(), rows)).await?;
    let (schema_of, name_of) = (&found.relation.schema, &found.relation.name);
    if !safe_reading::begin(session, found.oid, schema_of, name_of).await? {
        return Err(gone(name));
    }
    let records = session.query("backfill_page", statement).await?;
    let count = |column: &str| -> Result<i64> {
        records
            .first()
            .map_or(Ok(0), |record| record.try_get(column))
            .map_err(|error| failure::of_step("backfill_page", &error))
    };
    let text = |column: &str| -> Result<Option<String>> {
        records
            .first()
            .map_or(Ok(None), |record| record.try_get(column))
            .map_err(|error| failure::of_step("backfill_page", &error))
    };
    let key: Option<Vec<String>> = records
        .first()
        .map_or(Ok(None), |record| record.try_get("last_key"))
        .map_err(|error| failure::of_step("backfill_page", &error))?;
    let (read_rows, events, last) = (count("rows")?, count("events")?, text("last")?);
    let is_last = usize::try_from(read_rows).is_ok_and(|read| read < rows);
    let finished_at = is_last.then_some(now);
    session
        .run("search_again", &format!("SET LOCAL search_path TO {}", super::connection::search_path(schema)))
        .await?;
    ADVANCE_BACKFILL
        .call()
        .bind(name)
        .bind(key)
        .bind(&last)
        .bind(read_rows)
        .bind(events)
        .bind(finished_at.map(super::time::At))
        .execute(session)
        .await?;
    progress.rows += read_rows.unsigned_abs();
    progress.events += events.unsigned_abs();
    progress.last = last.or(progress.last);
    progress.finished_at = finished_at;
    progress.estimate = progress_estimate;
    Ok(progress)
}

/// The statement for one page: what it reads, and what it makes of it. Rows with the same key are in one page.
async fn statement(
    session: &mut Session<'_>,
    schema: &str,
    table: &Table,
    written: &Written,
    progress: &Backfill,
    (last_key, rows): (Option<&[String]>, usize),
) -> Result<String> {
    let capture = &written.capture;
    // Of chosen columns those that the capture knows: one that is left out may have another name now.
    let columns: Vec<String> = capture_making::chosen_now(table, capture)?
        .into_iter()
        .filter(|name| capture.selection.is_all() || capture.columns.contains(name))
        .collect();
    let call = EXPRESSIONS.call().bind(table.oid).bind(&columns).bind(&capture.key);
    let Some(expressions) = call.optional(session).await? else { return Err(gone(&capture.table)) };
    let image: String = expressions.get("image")?;
    let Some(key) = expressions.get::<Option<String>>("key")? else {
        return Err(StoreError::Refused(format!(
            "a column of the key of `{0}` is gone; run `{1}`",
            capture.table,
            commands::refresh(&capture.table)
        )));
    };
    let mut wanted = Vec::new();
    let names = (capture.entity_type.as_str(), &capture.key[..]);
    let tenant = written.is_tenant.then_some(table.relation.schema.as_str());
    for condition in capture.condition.iter().chain(&progress.condition) {
        let compiled = predicate::compile(session, table, names, condition, (NOW, tenant)).await?;
        wanted.push(format!("({})", compiled.predicates.created));
    }
    let wanted = if wanted.is_empty() { "true".to_owned() } else { wanted.join(" AND ") };
    let records = KEY_COLUMNS.call().bind(table.oid).bind(&capture.key).all(session).await?;
    let names: Vec<String> = records.iter().map(|record| record.get("column")).collect::<Result<_>>()?;
    let types: Vec<String> = records.iter().map(|record| record.get("type")).collect::<Result<_>>()?;
    let after = match last_key {
        None => "true".to_owned(),
        Some(last) => {
            let values: Vec<_> =
                last.iter().zip(&types).map(|(value, kind)| format!("{}::{kind}", literal(value))).collect();
            format!("({}) > ({})", names.join(", "), values.join(", "))
        }
    };
    let present: Vec<_> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    let texts: Vec<_> = names.iter().map(|name| format!("pg_catalog.concat({name})")).collect();
    let tenant = if written.is_tenant { literal(&table.relation.schema) } else { "NULL".to_owned() };
    let (order, schema) = (names.join(", "), identifier(schema));
    Ok(format!(
        "WITH page AS MATERIALIZED (
    SELECT new.* FROM {from} AS new WHERE {after} AND {present} ORDER BY {order} FETCH FIRST {rows} ROWS WITH TIES FOR SHARE
), events AS MATERIALIZED (
    SELECT {key} AS id, ({image})::pg_catalog.text AS image, ARRAY[{texts}] AS key, row_number() OVER (ORDER BY {order}) AS n, {wanted} AS is_wanted
    FROM page AS new
), made AS (
    INSERT INTO {schema}.observer_inbox
        (place, seq, entity_type, entity_id, event_kind, occurred_at, data, tenant_id, actor, traceparent)
    SELECT seq, 0, {entity_type}, id, {kind}, clock_timestamp(), image, {tenant}, NULL, NULL
    FROM (SELECT e.*, nextval('{sequence}') AS seq FROM (SELECT * FROM events WHERE is_wanted ORDER BY n) AS e) AS numbered
    RETURNING seq
), rung AS (
    SELECT pg_notify('observer_inbox', '') WHERE EXISTS (SELECT 1 FROM made)
)
SELECT (SELECT count(*) FROM events) AS rows, (SELECT count(*) FROM made) AS events,
       (SELECT key FROM events ORDER BY n DESC LIMIT 1) AS last_key, (SELECT id FROM events ORDER BY n DESC LIMIT 1) AS last,
       (SELECT count(*) FROM rung) AS rung",
        from = table.relation.quoted(),
        present = present.join(" AND "),
        texts = texts.join(", "),
        entity_type = literal(&capture.entity_type),
        kind = literal(progress.kind.as_str()),
        sequence = format!("{schema}.observer_events_seq").replace('\'', "''"),
    ))
}

fn gone(table: &str) -> StoreError {
    StoreError::Refused(format!(
        "the table `{table}` is gone; end its capture with `{}`",
        commands::remove(table)
    ))
}

fn read(record: &Record) -> Result<Backfill> {
    let count = |column: &str| Ok(record.integer(column)?.unsigned_abs());
    Ok(Backfill {
        table: record.string("table_name")?,
        condition: record.optional_string("condition")?,
        kind: record.text("event_kind")?.parse().map_err(|why| record.unreadable("event_kind", &why))?,
        rows: count("row_count")?,
        events: count("event_count")?,
        estimate: None,
        last: record.optional_string("last")?,
        started_at: record.time("started_at")?,
        finished_at: record.optional_time("finished_at")?,
    })
}

async fn estimated(session: &mut Session<'_>, table: &Table, backfill: Backfill) -> Result<Backfill> {
    let estimate: Option<i64> = ESTIMATE_ROWS.call().bind(table.oid).value(session).await?;
    let estimate = estimate.map(i64::unsigned_abs).filter(|rows| *rows > 0);
    Ok(Backfill { estimate, ..backfill })
}
