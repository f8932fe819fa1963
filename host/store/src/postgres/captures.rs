//! Adds, checks and removes captures.

use std::collections::BTreeMap;

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{
    PostgresStore, capture_drift,
    capture_table::Table,
    capture_trigger::Captured,
    connection::{Sync, identifier},
    failure,
    session::Session,
    statement::{Record, statements},
};
use crate::{Capture, CaptureRequest, CaptureStatus, Captures, Result, StoreError};

statements! {
    /// To change triggers needs a moment without writers of the table. While it is waited for, new writers wait too.
    WAIT_SHORTLY = "-- wait_shortly
SET LOCAL lock_timeout TO '5s'";
    /// Two that add captures at the same time would not see each other's entity types.
    LOCK_CAPTURES = "-- lock_captures
LOCK TABLE observer_captures IN SHARE ROW EXCLUSIVE MODE";
    LIST_CAPTURES = "-- list_captures
SELECT table_name, entity_type, key, columns, notify, triggers::text AS triggers, created_at
FROM observer_captures
ORDER BY table_name COLLATE \"C\"";
    PUT_CAPTURE = "-- put_capture
INSERT INTO observer_captures (table_name, entity_type, key, columns, notify, triggers, created_at)
VALUES ($1, $2, $3, $4, $5, $6::text::json, $7)
ON CONFLICT (table_name) DO UPDATE
SET entity_type = excluded.entity_type, key = excluded.key, columns = excluded.columns, notify = excluded.notify,
    triggers = excluded.triggers, created_at = excluded.created_at";
    DELETE_CAPTURE = "-- delete_capture
DELETE FROM observer_captures WHERE table_name = $1";
}

/// A capture and the triggers that were written for it: (`trigger on table`, text).
pub(super) struct Written {
    pub(super) capture: Capture,
    pub(super) triggers: BTreeMap<String, String>,
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

    async fn captures(&self) -> Result<Vec<CaptureStatus>> {
        let mut moment = self.inner.connections.read_transaction().await?;
        let mut statuses = Vec::new();
        for written in list(&mut moment).await? {
            let drift = capture_drift::drift(&mut moment, &written).await?;
            statuses.push(CaptureStatus { capture: written.capture, drift });
        }
        Ok(statuses)
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
    WAIT_SHORTLY.call().execute(session).await?;
    LOCK_CAPTURES.call().execute(session).await?;
    let table = Table::capturable(session, &request.table).await?;
    let key = table.key(&request.key)?;
    let name = &table.relation.shown;
    let earlier = list(session).await?;
    refuse_entity_type(&request.entity_type, name, &earlier)?;
    let renamed = |capture: &Capture| capture.table == *name && capture.entity_type != request.entity_type;
    if let Some(Written { capture, .. }) = earlier.iter().find(|written| renamed(&written.capture)) {
        drop_triggers(session, &capture.entity_type).await?;
    }
    let captured = Captured {
        schema,
        entity_type: &request.entity_type,
        key: &key,
        notify: request.notify,
        compares_numbers: table.compares_numbers,
    };
    for relation in table.relations(session).await? {
        for trigger in captured.triggers(&relation) {
            run(session, "create_trigger", trigger, &relation.shown).await?;
        }
    }
    let present = capture_drift::present(session, &request.entity_type).await?;
    let triggers = present.into_iter().map(|trigger| (trigger.key(), trigger.text)).collect();
    let capture = Capture {
        table: table.relation.shown,
        entity_type: request.entity_type.clone(),
        key,
        columns: table.columns,
        notify: request.notify,
        created_at: now,
    };
    put(session, &capture, &triggers).await?;
    Ok(capture)
}

async fn remove(session: &mut Session<'_>, table: &str) -> Result<()> {
    WAIT_SHORTLY.call().execute(session).await?;
    LOCK_CAPTURES.call().execute(session).await?;
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
    drop_triggers(session, &capture.entity_type).await?;
    DELETE_CAPTURE.call().bind(&capture.table).execute(session).await?;
    Ok(())
}

fn refuse_entity_type(entity_type: &str, table: &str, captures: &[Written]) -> Result<()> {
    if entity_type.is_empty() || entity_type == "*" || entity_type.contains('\0') {
        return Err(StoreError::Refused(format!(
            "`{entity_type}` can not be an entity type; write a name such as `--entity Order`"
        )));
    }
    match captures.iter().find(|written| written.capture.entity_type == entity_type) {
        Some(Written { capture, .. }) if capture.table != table => Err(StoreError::Refused(format!(
            "the entity type `{entity_type}` is taken by the table `{0}`; choose another name, or end that capture with \
             `aftercommit capture remove {0}`",
            capture.table
        ))),
        _ => Ok(()),
    }
}

async fn list(session: &mut Session<'_>) -> Result<Vec<Written>> {
    LIST_CAPTURES.call().all(session).await?.iter().map(written).collect()
}

fn written(record: &Record) -> Result<Written> {
    let triggers: &str = record.get("triggers")?;
    Ok(Written {
        capture: Capture {
            table: record.get("table_name")?,
            entity_type: record.get("entity_type")?,
            key: record.get("key")?,
            columns: record.get("columns")?,
            notify: record.get("notify")?,
            created_at: record.time("created_at")?,
        },
        triggers: serde_json::from_str(triggers).map_err(|why| record.unreadable("triggers", &why))?,
    })
}

async fn put(
    session: &mut Session<'_>,
    capture: &Capture,
    triggers: &BTreeMap<String, String>,
) -> Result<()> {
    PUT_CAPTURE
        .call()
        .bind(&capture.table)
        .bind(&capture.entity_type)
        .bind(&capture.key)
        .bind(&capture.columns)
        .bind(capture.notify)
        .bind(serde_json::json!(triggers).to_string())
        .bind_time(capture.created_at)
        .execute(session)
        .await?;
    Ok(())
}

async fn drop_triggers(session: &mut Session<'_>, entity_type: &str) -> Result<()> {
    for present in capture_drift::present(session, entity_type).await? {
        let sql = format!(
            "DROP TRIGGER {} ON {}.{}",
            identifier(&present.trigger),
            identifier(&present.schema),
            identifier(&present.table)
        );
        run(session, "drop_trigger", sql, &present.shown).await?;
    }
    Ok(())
}

/// Runs a statement that was put together here: triggers can not take arguments. Names in it are quoted.
async fn run(session: &mut Session<'_>, name: &'static str, sql: String, table: &str) -> Result<()> {
    match session.run(&sql).await {
        Ok(()) => Ok(()),
        Err(error) if failure::is_forbidden(&error) => Err(StoreError::Refused(format!(
            "{}: to capture the table `{table}`, the role of the database URL needs `GRANT TRIGGER ON {table}`, USAGE of \
             its schema and EXECUTE of the functions observer_capture_rows() and observer_capture_update(); to end a \
             capture it must own the table, or be a member of the role that does",
            failure::reason(&error)
        ))),
        Err(error) => Err(failure::of_step(name, &error)),
    }
}
