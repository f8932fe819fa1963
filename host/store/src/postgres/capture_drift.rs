//! Whether a capture still fits its table.

use std::collections::BTreeMap;

use super::{
    capture_table::Table,
    capture_trigger, change_log,
    session::Session,
    statement::{Record, statements},
};
use crate::{Capture, ChangeLogField, Result, captures::Written};

statements! {
    /// Those of one capture, by their functions and first argument. They follow their table when that is renamed, and a
    /// partition when it is detached.
    PRESENT_TRIGGERS = "-- present_triggers
SELECT n.nspname AS schema, c.relname AS name, t.tgname AS trigger, pg_get_triggerdef(t.oid) AS text,
       t.tgenabled::text AS enabled, c.relispartition AS partition,
       CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS shown
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
     JOIN pg_proc AS p ON p.oid = t.tgfoid
     CROSS JOIN (SELECT convert_to($1, getdatabaseencoding()) || '\\x00'::bytea AS first) AS e
WHERE p.pronamespace = to_regnamespace(quote_ident(current_schema()))
  AND p.proname = ANY($2)
  AND substring(t.tgargs FROM 1 FOR octet_length(e.first)) = e.first
ORDER BY c.relispartition, c.oid, t.tgname";
}

/// A trigger as it is in the database.
pub(super) struct PresentTrigger {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) shown: String,
    pub(super) trigger: String,
    pub(super) text: String,
    disabled: bool,
    partition: bool,
}

impl PresentTrigger {
    /// What tells it from the other triggers of its capture.
    pub(super) fn key(&self) -> String {
        format!("{} on {}", self.trigger, self.shown)
    }

    fn read(record: &Record) -> Result<Self> {
        Ok(Self {
            schema: record.get("schema")?,
            table: record.get("name")?,
            shown: record.get("shown")?,
            trigger: record.get("trigger")?,
            text: record.get("text")?,
            disabled: record.get::<&str>("enabled")? == "D",
            partition: record.get("partition")?,
        })
    }
}

/// The triggers that a capture has made.
pub(super) async fn present(session: &mut Session<'_>, capture: &Capture) -> Result<Vec<PresentTrigger>> {
    let (functions, first) = capture_trigger::marks(capture);
    let records = PRESENT_TRIGGERS.call().bind(first).bind(functions).all(session).await?;
    records.iter().map(PresentTrigger::read).collect()
}

/// The command that makes the same capture of a table with these columns.
fn command(capture: &Capture, table: &str, columns: &[String]) -> String {
    match &capture.change_log {
        None => format!("aftercommit capture add {table} --entity {}", capture.entity_type),
        Some(fields) => {
            format!("aftercommit capture add-changelog {table}{}", change_log::options(fields, columns))
        }
    }
}

/// What no longer fits, and what to do.
pub(super) async fn drift(session: &mut Session<'_>, written: &Written) -> Result<Option<String>> {
    let capture = &written.capture;
    let table = &capture.table;
    let present = present(session, capture).await?;
    let Some(now) = Table::find(session, table).await? else {
        return Ok(Some(match present.iter().find(|trigger| !trigger.partition) {
            Some(elsewhere) => format!(
                "the table is now named `{0}`; run `aftercommit capture remove {table}`, then `{1}`",
                elsewhere.shown,
                command(capture, &elsewhere.shown, &capture.columns)
            ),
            None => format!("the table is gone; run `aftercommit capture remove {table}`"),
        }));
    };
    let mut findings = match &capture.change_log {
        None => of_columns(&capture.columns, &now.columns),
        Some(fields) => of_fields(fields, &now),
    };
    let relations: Vec<String> =
        now.relations(session).await?.into_iter().map(|relation| relation.shown).collect();
    findings.extend(of_triggers(&written.triggers, &present, &relations));
    if findings.is_empty() {
        return Ok(None);
    }
    let again = command(capture, table, &now.columns);
    Ok(Some(format!("{}; run `{again}` again to renew its triggers", findings.join("; "))))
}

fn of_fields(fields: &BTreeMap<ChangeLogField, String>, now: &Table) -> Vec<String> {
    fields
        .iter()
        .filter(|(_, column)| !now.has(column))
        .map(|(field, column)| format!("the column {column}, which was its {field}, is gone"))
        .collect()
}

fn of_columns(captured: &[String], now: &[String]) -> Vec<String> {
    let missing_in = |names: &[String], from: &[String]| -> Vec<String> {
        names.iter().filter(|name| !from.contains(name)).cloned().collect()
    };
    let (new, gone) = (missing_in(now, captured), missing_in(captured, now));
    let mut findings = Vec::new();
    if !new.is_empty() {
        findings.push(format!("new columns: {}", new.join(", ")));
    }
    if !gone.is_empty() {
        findings.push(format!("columns that are gone: {}", gone.join(", ")));
    }
    findings
}

fn of_triggers(
    written: &BTreeMap<String, String>,
    present: &[PresentTrigger],
    relations: &[String],
) -> Vec<String> {
    let mut findings = Vec::new();
    for (key, text) in written {
        let found = present.iter().find(|trigger| trigger.key() == *key);
        let what = match found {
            // Of a partition that was dropped or detached nothing is missed.
            None => relations
                .iter()
                .any(|relation| key.ends_with(&format!(" on {relation}")))
                .then_some("is missing"),
            Some(trigger) if trigger.disabled => Some("is disabled"),
            Some(trigger) => (trigger.text != *text).then_some("was changed"),
        };
        findings.extend(what.map(|what| format!("the trigger {key} {what}")));
    }
    for relation in relations {
        if !written.keys().any(|key| key.ends_with(&format!(" on {relation}"))) {
            findings.push(format!("the partition {relation} has no triggers"));
        }
    }
    findings
}
