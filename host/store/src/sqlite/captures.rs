//! Adds, checks and removes captures.

use std::collections::BTreeMap;

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    capture_schema::{drop_own, drop_unused, make_own, make_shared, run},
    capture_table::{Table, present_triggers},
    capture_trigger::{self, Captured},
    connection::Sync,
    predicate,
    row_view::{self, RowView, is_shared},
    statement::{Record, rows_as_json, statements},
};
use crate::{
    Capture, CaptureRequest, CaptureStatus, Captures, ChangeLogRequest, Result, Selection, StoreError,
    captures::{Written, refuse_entity_type},
    commands,
    readable::readable,
    row::Row as _,
};

statements! {
    LIST_CAPTURES = "-- list_captures
SELECT table_name, entity_type, key, columns, notify, triggers, created_at, selection, condition
FROM observer_captures ORDER BY table_name";
    PUT_CAPTURE = "-- put_capture
INSERT OR REPLACE INTO observer_captures 
    (table_name, entity_type, key, columns, notify, triggers, created_at, selection, condition)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    DELETE_CAPTURE = "-- delete_capture
DELETE FROM observer_captures WHERE table_name = ?1";
}

#[async_trait]
impl Captures for SqliteStore {
    async fn add_capture(&self, request: CaptureRequest, now: Timestamp) -> Result<Capture> {
        self.inner.connections.write("add_capture", Sync::Now, move |write| add(write, request, now)).await
    }

    async fn add_change_log(&self, request: ChangeLogRequest, _now: Timestamp) -> Result<Capture> {
        Err(StoreError::Refused(format!(
            "change logs are captured on PostgreSQL, and this is SQLite; capture the tables that `{}` tells of, each with \
             `aftercommit capture add TABLE --entity NAME`",
            request.table
        )))
    }

    async fn captures(&self) -> Result<Vec<CaptureStatus>> {
        self.check_file()?;
        self.inner
            .connections
            .read_moment(move |moment| {
                let mut statuses = Vec::new();
                for written in list(moment)? {
                    let drift = drift(moment, &written)?;
                    statuses.push(CaptureStatus { capture: written.capture, drift, warnings: Vec::new() });
                }
                Ok(statuses)
            })
            .await
    }

    async fn refresh_capture(&self, table: &str, now: Timestamp) -> Result<Capture> {
        let table = table.to_owned();
        self.inner
            .connections
            .write("refresh_capture", Sync::Now, move |write| refresh(write, &find(write, &table)?, now))
            .await
    }

    async fn remove_capture(&self, table: &str) -> Result<()> {
        let table = table.to_owned();
        self.inner
            .connections
            .write("remove_capture", Sync::Now, move |write| {
                let written = find(write, &table)?;
                drop_own(write, &written.triggers)?;
                DELETE_CAPTURE.call().bind(&written.capture.table).execute(write)?;
                drop_unused(write, &written.triggers, &list(write)?)
            })
            .await
    }
}

/// Starts to capture a table, or captures it differently.
fn add(write: &Connection, request: CaptureRequest, now: Timestamp) -> Result<Capture> {
    let table = Table::capturable(write, &request.table)?;
    let key = table.key(&request.key)?;
    let columns = table.selected(&request.selection, &key)?;
    let captures = list(write)?;
    refuse_entity_type(&request.entity_type, &table.name, &captures)?;
    let earlier = captures.iter().find(|written| written.capture.table == table.name);
    if let Some(Written { capture, .. }) = earlier
        && capture.entity_type != request.entity_type
        && !request.rename
    {
        return Err(StoreError::Refused(format!(
            "the table `{}` is captured as `{}`, not as `{}`; to change the entity type of its events from now on, add `--rename`",
            table.name, capture.entity_type, request.entity_type
        )));
    }
    if columns.len() > row_view::MAX_COLUMNS {
        return Err(StoreError::Refused(format!(
            "the table `{}` has {} columns, and at most {} can be captured; choose them with `--only COLUMN,..`",
            table.name,
            columns.len(),
            row_view::MAX_COLUMNS
        )));
    }
    if let Some(earlier) = earlier {
        drop_own(write, &earlier.triggers)?;
    }
    let compile = |condition: &String| predicate::compile(&table, &request.entity_type, &key, condition);
    let predicates = request.condition.as_ref().map(compile).transpose()?;
    let described = Captured {
        table: &table.name,
        entity_type: &request.entity_type,
        key: &key,
        columns: &columns,
        primary_key: &table.primary_key,
        has_collations: table.has_collations,
        predicates: predicates.as_ref(),
    };
    let own = capture_trigger::triggers(&described);
    let view = RowView::of(columns.len());
    make_shared(write, view, &captures)?;
    make_own(write, &own)?;
    let triggers: BTreeMap<_, _> = own.into_iter().chain(view.texts()).collect();
    let capture = Capture {
        columns: columns.into_iter().map(|column| column.name).collect(),
        table: table.name,
        entity_type: request.entity_type,
        key,
        selection: request.selection,
        condition: request.condition,
        change_log: None,
        notify: request.notify,
        created_at: now,
    };
    put(write, &capture, &triggers)?;
    if let Some(earlier) = earlier {
        drop_unused(write, &earlier.triggers, &list(write)?)?;
    }
    Ok(capture)
}

/// Writes the triggers of a capture again, for the columns that its table has now.
fn refresh(write: &Connection, written: &Written, now: Timestamp) -> Result<Capture> {
    let Capture { table, entity_type, key, selection, condition, notify, .. } = &written.capture;
    let present = Table::find(write, table)?;
    let Some(present) = present else {
        return Err(StoreError::Refused(format!(
            "the table `{table}` is gone or has another name; run `{}`",
            commands::remove(table)
        )));
    };
    // What is gone can not be chosen any more, and need not be left out.
    let still_there = |names: &Vec<String>| {
        let there =
            |name: &&String| present.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        names.iter().filter(there).cloned().collect::<Vec<_>>()
    };
    let selection = match selection {
        Selection::All => Selection::All,
        Selection::Only(names) => Selection::Only(still_there(names)),
        Selection::Exclude(names) => Selection::Exclude(still_there(names)),
    };
    let request = CaptureRequest {
        key: key.clone(),
        selection,
        condition: condition.clone(),
        notify: *notify,
        ..CaptureRequest::new(table, entity_type)
    };
    add(write, request, now)
}

/// Writes the triggers of all captures again that an older program wrote. One that can not be written stays as it is:
/// `capture list` says why.
pub(super) fn refresh_older(write: &Connection) -> Result<()> {
    for written in list(write)? {
        if is_older(&written) {
            let now = written.capture.created_at;
            run(write, "savepoint", "SAVEPOINT refresh")?;
            if let Err(error) = refresh(write, &written, now) {
                tracing::warn!(table = written.capture.table, %error, "the triggers of a capture could not be renewed");
                run(write, "rollback_to", "ROLLBACK TO refresh")?;
            }
            run(write, "release", "RELEASE refresh")?;
        }
    }
    Ok(())
}

/// Whether an older program wrote the triggers: each table made its images itself.
pub(super) fn is_older(written: &Written) -> bool {
    !written.triggers.keys().any(|name| is_shared(name))
}

/// The capture of a table.
pub(super) fn find(connection: &Connection, table: &str) -> Result<Written> {
    let name = table.strip_prefix("main.").unwrap_or(table);
    let found =
        list(connection)?.into_iter().find(|written| written.capture.table.eq_ignore_ascii_case(name));
    found.ok_or_else(|| StoreError::NotFound { what: "capture of the table", name: table.to_owned() })
}

fn list(connection: &Connection) -> Result<Vec<Written>> {
    let records = LIST_CAPTURES.call().all(connection)?;
    Ok(readable("observer_captures", &["table_name"], &records, written))
}

fn written(record: &Record) -> Result<Written> {
    Ok(Written {
        capture: Capture {
            table: record.get("table_name")?,
            entity_type: record.get("entity_type")?,
            key: record.json("key")?,
            columns: record.json("columns")?,
            selection: record.json("selection")?,
            condition: record.optional_string("condition")?,
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
        .bind(serde_json::json!(capture.selection).to_string())
        .bind(capture.condition.as_deref())
        .execute(connection)?;
    Ok(())
}

/// What no longer fits, and what to do.
fn drift(connection: &Connection, written: &Written) -> Result<Option<String>> {
    let Capture { table, columns, selection, .. } = &written.capture;
    let names: Vec<_> = written.triggers.keys().collect();
    let present = present_triggers(connection, &rows_as_json(&names))?;
    let elsewhere = present.iter().find(|trigger| {
        !trigger.table.eq_ignore_ascii_case(table) && !written.triggers.contains_key(&trigger.table)
    });
    if let Some(elsewhere) = elsewhere {
        return Ok(Some(format!(
            "the table is now named `{0}`; run `{1}`, then `{2}`",
            elsewhere.table,
            commands::remove(table),
            written.capture.command(&elsewhere.table)
        )));
    }
    let Some(now) = Table::find(connection, table)? else {
        return Ok(Some(format!("the table is gone; run `{}`", commands::remove(table))));
    };
    let mut findings = Vec::new();
    let is_wanted = |name: &str| match selection {
        Selection::All => true,
        Selection::Only(names) => names.iter().any(|only| only.eq_ignore_ascii_case(name)),
        Selection::Exclude(names) => !names.iter().any(|left_out| left_out.eq_ignore_ascii_case(name)),
    };
    let there = |name: &str| now.columns.iter().any(|column| column.name == name);
    let new: Vec<_> = now
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| is_wanted(name) && !columns.iter().any(|column| column == name))
        .collect();
    let gone: Vec<_> = columns.iter().map(String::as_str).filter(|name| !there(name)).collect();
    if !new.is_empty() {
        findings.push(format!("not captured: {}", new.join(", ")));
    }
    if !gone.is_empty() {
        findings.push(format!("captured but gone: {}", gone.join(", ")));
    }
    let missing = |name: &String| !present.iter().any(|trigger| trigger.name == *name);
    if written
        .triggers
        .iter()
        .all(|(name, text)| missing(name) || text.starts_with("CREATE VIEW") || text.contains(" INSTEAD OF "))
    {
        findings.push(
            "the table has lost its triggers, as when it is built anew: nothing is captured".to_owned(),
        );
    } else {
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
    }
    if is_older(written) {
        findings.push("its triggers were written by an older program".to_owned());
    }
    if findings.is_empty() {
        return Ok(None);
    }
    // A key that is gone can not be guessed.
    let remedy = if written.capture.key.iter().all(|name| there(name)) {
        format!("run `{}`", commands::refresh(table))
    } else {
        format!("run `{}`", written.capture.command_for_key(table))
    };
    Ok(Some(format!("{}; {remedy}", findings.join("; "))))
}
