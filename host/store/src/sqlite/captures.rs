//! Adds, checks and removes captures.

use std::collections::BTreeMap;

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    capture_table::{Table, present_triggers},
    capture_trigger::{self, Captured},
    connection::Sync,
    failure,
    row_json::identifier,
    statement::{Record, rows_as_json, statements},
};
use crate::{
    Capture, CaptureRequest, CaptureStatus, Captures, ChangeLogRequest, Result, Selection, StoreError,
    captures::{Written, refuse_entity_type},
    row::Row as _,
};

statements! {
    LIST_CAPTURES = "-- list_captures
SELECT table_name, entity_type, key, columns, notify, triggers, created_at FROM observer_captures ORDER BY table_name";
    PUT_CAPTURE = "-- put_capture
INSERT OR REPLACE INTO observer_captures (table_name, entity_type, key, columns, notify, triggers, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    DELETE_CAPTURE = "-- delete_capture
DELETE FROM observer_captures WHERE table_name = ?1";
}

#[async_trait]
impl Captures for SqliteStore {
    async fn add_capture(&self, request: CaptureRequest, now: Timestamp) -> Result<Capture> {
        self.inner
            .connections
            .write("add_capture", Sync::Now, move |write| {
                let table = Table::capturable(write, &request.table)?;
                let key = table.key(&request.key)?;
                let earlier = list(write)?;
                refuse_entity_type(&request.entity_type, &table.name, &earlier)?;
                if let Some(earlier) = earlier.iter().find(|written| written.capture.table == table.name) {
                    drop_triggers(write, &earlier.triggers)?;
                }
                let triggers: BTreeMap<_, _> = capture_trigger::triggers(&Captured {
                    table: &table.name,
                    entity_type: &request.entity_type,
                    key: &key,
                    columns: &table.columns,
                })
                .into_iter()
                .collect();
                drop_triggers(write, &triggers)?;
                for text in triggers.values() {
                    run(write, "create_trigger", text)?;
                }
                let capture = Capture {
                    table: table.name,
                    entity_type: request.entity_type,
                    key,
                    columns: table.columns.into_iter().map(|column| column.name).collect(),
                    selection: Selection::All,
                    condition: None,
                    change_log: None,
                    notify: request.notify,
                    created_at: now,
                };
                put(write, &capture, &triggers)?;
                Ok(capture)
            })
            .await
    }

    async fn add_change_log(&self, request: ChangeLogRequest, _now: Timestamp) -> Result<Capture> {
        Err(StoreError::Refused(format!(
            "change logs are captured on PostgreSQL, and this is SQLite; capture the tables that `{}` tells of, each with \
             `aftercommit capture add TABLE --entity NAME`",
            request.table
        )))
    }

    async fn captures(&self) -> Result<Vec<CaptureStatus>> {
        self.inner
            .connections
            .read_moment(move |moment| {
                let mut statuses = Vec::new();
                for written in list(moment)? {
                    let drift = drift(moment, &written)?;
                    statuses.push(CaptureStatus { capture: written.capture, drift });
                }
                Ok(statuses)
            })
            .await
    }

    async fn refresh_capture(&self, table: &str, _now: Timestamp) -> Result<Capture> {
        Err(StoreError::Refused(table.to_owned()))
    }

    async fn remove_capture(&self, table: &str) -> Result<()> {
        let table = table.to_owned();
        self.inner
            .connections
            .write("remove_capture", Sync::Now, move |write| {
                let name = table.strip_prefix("main.").unwrap_or(&table);
                let captures = list(write)?;
                let Some(written) =
                    captures.iter().find(|written| written.capture.table.eq_ignore_ascii_case(name))
                else {
                    return Err(StoreError::NotFound { what: "capture of the table", name: table });
                };
                drop_triggers(write, &written.triggers)?;
                DELETE_CAPTURE.call().bind(&written.capture.table).execute(write)?;
                Ok(())
            })
            .await
    }
}

fn list(connection: &Connection) -> Result<Vec<Written>> {
    LIST_CAPTURES.call().all(connection)?.iter().map(written).collect()
}

fn written(record: &Record) -> Result<Written> {
    Ok(Written {
        capture: Capture {
            table: record.get("table_name")?,
            entity_type: record.get("entity_type")?,
            key: record.json("key")?,
            columns: record.json("columns")?,
            selection: Selection::All,
            condition: None,
            change_log: None,
            notify: record.get("notify")?,
            created_at: record.time("created_at")?,
        },
        triggers: record.json("triggers")?,
    })
}

fn put(connection: &Connection, capture: &Capture, triggers: &BTreeMap<String, String>) -> Result<()> {
    PUT_CAPTURE
        .call()
        .bind(&capture.table)
        .bind(&capture.entity_type)
        .bind(rows_as_json(&capture.key))
        .bind(rows_as_json(&capture.columns))
        .bind(capture.notify)
        .bind(serde_json::json!(triggers).to_string())
        .bind_time(capture.created_at)
        .execute(connection)?;
    Ok(())
}

fn drop_triggers(connection: &Connection, triggers: &BTreeMap<String, String>) -> Result<()> {
    for name in triggers.keys() {
        run(connection, "drop_trigger", &format!("DROP TRIGGER IF EXISTS {}", identifier(name)))?;
    }
    Ok(())
}

/// Runs a statement that was put together here: triggers can not take arguments. Names in it are quoted.
fn run(connection: &Connection, name: &'static str, sql: &str) -> Result<()> {
    connection.execute_batch(sql).map_err(|error| failure::of_step(name, &error))
}

/// What no longer fits, and what to do.
fn drift(connection: &Connection, written: &Written) -> Result<Option<String>> {
    let Capture { table, entity_type, columns, .. } = &written.capture;
    let names: Vec<_> = written.triggers.keys().collect();
    let present = present_triggers(connection, &rows_as_json(&names))?;
    if let Some(elsewhere) = present.iter().find(|trigger| !trigger.table.eq_ignore_ascii_case(table)) {
        return Ok(Some(format!(
            "the table is now named `{0}`; run `aftercommit capture remove {table}`, then \
             `aftercommit capture add {0} --entity {entity_type}`",
            elsewhere.table
        )));
    }
    let Some(now) = Table::find(connection, table)? else {
        return Ok(Some(format!("the table is gone; run `aftercommit capture remove {table}`")));
    };
    let mut findings = Vec::new();
    let present_columns: Vec<_> = now.columns.iter().map(|column| &column.name).collect();
    let new: Vec<_> =
        present_columns.iter().filter(|name| !columns.contains(name)).map(|name| name.as_str()).collect();
    let gone: Vec<_> =
        columns.iter().filter(|name| !present_columns.contains(name)).map(String::as_str).collect();
    if !new.is_empty() {
        findings.push(format!("not captured: {}", new.join(", ")));
    }
    if !gone.is_empty() {
        findings.push(format!("captured but gone: {}", gone.join(", ")));
    }
    for (name, text) in &written.triggers {
        match present.iter().find(|trigger| trigger.name == *name) {
            None => findings.push(format!("the trigger {name} is missing")),
            // A renamed column is renamed in the triggers by SQLite itself.
            Some(trigger) if trigger.text != *text && gone.is_empty() => {
                findings.push(format!("the trigger {name} was changed"));
            }
            Some(_) => {}
        }
    }
    if findings.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "{}; run `aftercommit capture add {table} --entity {entity_type}` again to renew its triggers",
        findings.join("; ")
    )))
}
