//! Adds, checks and removes captures.

use std::collections::BTreeMap;

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{
    PostgresStore, capture_drift,
    capture_table::{Relation, Table},
    capture_trigger::{self, Captured, CapturedLog},
    change_log,
    connection::{Sync, identifier},
    failure, rights,
    session::Session,
    statement::{Record, statements},
};
use crate::{
    Capture, CaptureRequest, CaptureStatus, Captures, ChangeLogRequest, Result, Selection, StoreError,
    captures::{EVERY_TYPE, Written, refuse_entity_type},
    row::Row as _,
};

statements! {
    /// To change triggers needs a moment without writers of the table. While it is waited for, new writers wait too.
    WAIT_SHORTLY = "-- wait_shortly
SET LOCAL lock_timeout TO '5s'";
    /// Two that add captures at the same time would not see each other's entity types.
    LOCK_CAPTURES = "-- lock_captures
LOCK TABLE observer_captures IN SHARE ROW EXCLUSIVE MODE";
    LIST_CAPTURES = "-- list_captures
SELECT table_name, entity_type, key, columns, change_log::text AS change_log, notify, triggers::text AS triggers,
       created_at
FROM observer_captures
ORDER BY table_name COLLATE \"C\"";
    PUT_CAPTURE = "-- put_capture
INSERT INTO observer_captures (table_name, entity_type, key, columns, change_log, notify, triggers, created_at)
VALUES ($1, $2, $3, $4, $5::text::json, $6, $7::text::json, $8)
ON CONFLICT (table_name) DO UPDATE
SET entity_type = excluded.entity_type, key = excluded.key, columns = excluded.columns,
    change_log = excluded.change_log, notify = excluded.notify, triggers = excluded.triggers,
    created_at = excluded.created_at";
    DELETE_CAPTURE = "-- delete_capture
DELETE FROM observer_captures WHERE table_name = $1";
}

#[async_trait]
impl Captures for PostgresStore {
    async fn add_capture(&self, request: CaptureRequest, now: Timestamp) -> Result<Capture> {
        let connections = &self.inner.connections;
        let (schema, request) = (connections.schema(), &request);
        connections
            .write("add_capture", Sync::Now, |session| Box::pin(add(session, schema, request, now)))
            .await
    }

    async fn add_change_log(&self, request: ChangeLogRequest, now: Timestamp) -> Result<Capture> {
        let connections = &self.inner.connections;
        let (schema, request) = (connections.schema(), &request);
        connections
            .write("add_change_log", Sync::Now, |session| Box::pin(add_log(session, schema, request, now)))
            .await
    }

    async fn captures(&self) -> Result<Vec<CaptureStatus>> {
        let mut moment = self.inner.connections.read_transaction().await?;
        let mut statuses = Vec::new();
        for written in list(&mut moment).await? {
            let drift = capture_drift::drift(&mut moment, &written).await?;
            statuses.push(CaptureStatus { capture: written.capture, drift });
        }
        Ok(statuses)
    }

    async fn refresh_capture(&self, table: &str, _now: Timestamp) -> Result<Capture> {
        Err(StoreError::Refused(table.to_owned()))
    }

    async fn remove_capture(&self, table: &str) -> Result<()> {
        self.inner
            .connections
            .write("remove_capture", Sync::Now, |session| Box::pin(remove(session, table)))
            .await
    }
}

async fn add(
    session: &mut Session<'_>,
    schema: &str,
    request: &CaptureRequest,
    now: Timestamp,
) -> Result<Capture> {
    let table = Table::capturable(session, &request.table).await?;
    rights::to_capture(session, &table, schema, capture_trigger::OF_TABLES).await?;
    lock(session).await?;
    let key = table.key(&request.key)?;
    let name = &table.relation.shown;
    let written = list(session).await?;
    refuse_entity_type(&request.entity_type, name, &written)?;
    if let Some(earlier) = of_table(name, &written) {
        if earlier.change_log.is_some() {
            return Err(captured_otherwise(name, "a change log"));
        }
        if earlier.entity_type != request.entity_type {
            drop_triggers(session, earlier).await?;
        }
    }
    let captured = Captured {
        schema,
        entity_type: &request.entity_type,
        key: &key,
        notify: request.notify,
        compares_numbers: table.compares_numbers,
    };
    let relations = table.relations(session).await?;
    create_triggers(session, &relations, |relation| captured.triggers(relation)).await?;
    let capture = Capture {
        table: table.relation.shown,
        entity_type: request.entity_type.clone(),
        key,
        columns: table.columns,
        selection: Selection::All,
        condition: None,
        change_log: None,
        notify: request.notify,
        created_at: now,
    };
    put(session, capture).await
}

async fn add_log(
    session: &mut Session<'_>,
    schema: &str,
    request: &ChangeLogRequest,
    now: Timestamp,
) -> Result<Capture> {
    let table = Table::capturable(session, &request.table).await?;
    rights::to_capture(session, &table, schema, capture_trigger::OF_LOGS).await?;
    lock(session).await?;
    let fields = change_log::fields(session, &table, &request.columns).await?;
    let name = &table.relation.shown;
    let written = list(session).await?;
    if let Some(earlier) = of_table(name, &written).filter(|capture| capture.change_log.is_none()) {
        return Err(captured_otherwise(name, &format!("`{}`", earlier.entity_type)));
    }
    let captured = CapturedLog { schema, table: name, fields: &fields, notify: request.notify };
    let relations = table.relations(session).await?;
    create_triggers(session, &relations, |relation| vec![captured.trigger(relation)]).await?;
    let capture = Capture {
        table: table.relation.shown,
        entity_type: EVERY_TYPE.to_owned(),
        key: Vec::new(),
        columns: fields.values().cloned().collect(),
        selection: Selection::All,
        condition: None,
        change_log: Some(fields),
        notify: request.notify,
        created_at: now,
    };
    put(session, capture).await
}

async fn remove(session: &mut Session<'_>, table: &str) -> Result<()> {
    lock(session).await?;
    let captures = list(session).await?;
    let plain = table.strip_prefix("public.").unwrap_or(table);
    let is_it = |written: &&Written, name: &str| written.capture.table == name;
    let written = captures
        .iter()
        .find(|written| is_it(written, plain))
        .or_else(|| captures.iter().find(|written| is_it(written, &plain.to_lowercase())));
    let Some(Written { capture, .. }) = written else {
        return Err(StoreError::NotFound { what: "capture of the table", name: table.to_owned() });
    };
    drop_triggers(session, capture).await?;
    DELETE_CAPTURE.call().bind(&capture.table).execute(session).await?;
    Ok(())
}

async fn lock(session: &mut Session<'_>) -> Result<()> {
    WAIT_SHORTLY.call().execute(session).await?;
    LOCK_CAPTURES.call().execute(session).await?;
    Ok(())
}

fn of_table<'c>(table: &str, captures: &'c [Written]) -> Option<&'c Capture> {
    captures.iter().map(|written| &written.capture).find(|capture| capture.table == table)
}

fn captured_otherwise(table: &str, what: &str) -> StoreError {
    StoreError::Refused(format!(
        "the table `{table}` is captured already, as {what}; end that with `aftercommit capture remove {table}`"
    ))
}

async fn list(session: &mut Session<'_>) -> Result<Vec<Written>> {
    LIST_CAPTURES.call().all(session).await?.iter().map(written).collect()
}

fn written(record: &Record) -> Result<Written> {
    Ok(Written {
        capture: Capture {
            table: record.get("table_name")?,
            entity_type: record.get::<Option<_>>("entity_type")?.unwrap_or_else(|| EVERY_TYPE.to_owned()),
            key: record.get("key")?,
            columns: record.get("columns")?,
            selection: Selection::All,
            condition: None,
            change_log: record
                .get::<Option<&str>>("change_log")?
                .map(serde_json::from_str)
                .transpose()
                .map_err(|why| record.unreadable("change_log", &why))?,
            notify: record.get("notify")?,
            created_at: record.time("created_at")?,
        },
        triggers: record.json("triggers")?,
    })
}

/// Writes down a capture and the triggers that were made for it.
async fn put(session: &mut Session<'_>, capture: Capture) -> Result<Capture> {
    let triggers: BTreeMap<_, _> = capture_drift::present(session, &capture)
        .await?
        .into_iter()
        .map(|trigger| (trigger.key(), trigger.text))
        .collect();
    let change_log = capture.change_log.as_ref();
    PUT_CAPTURE
        .call()
        .bind(&capture.table)
        .bind(change_log.is_none().then_some(&capture.entity_type))
        .bind(&capture.key)
        .bind(&capture.columns)
        .bind(change_log.map(|fields| serde_json::json!(fields).to_string()))
        .bind(capture.notify)
        .bind(serde_json::json!(triggers).to_string())
        .bind_time(capture.created_at)
        .execute(session)
        .await?;
    Ok(capture)
}

async fn create_triggers(
    session: &mut Session<'_>,
    relations: &[Relation],
    triggers: impl Fn(&Relation) -> Vec<String>,
) -> Result<()> {
    for relation in relations {
        for trigger in triggers(relation) {
            run(session, "create_trigger", trigger).await?;
        }
    }
    Ok(())
}

async fn drop_triggers(session: &mut Session<'_>, capture: &Capture) -> Result<()> {
    for present in capture_drift::present(session, capture).await? {
        rights::to_drop(session, &present).await?;
        let sql = format!(
            "DROP TRIGGER {} ON {}.{}",
            identifier(&present.trigger),
            identifier(&present.schema),
            identifier(&present.table)
        );
        run(session, "drop_trigger", sql).await?;
    }
    Ok(())
}

/// Runs a statement that was put together here: triggers can not take arguments. Names in it are quoted.
async fn run(session: &mut Session<'_>, name: &'static str, sql: String) -> Result<()> {
    session.run(&sql).await.map_err(|error| failure::of_step(name, &error))
}
