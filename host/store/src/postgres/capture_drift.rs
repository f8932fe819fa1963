//! Whether a capture still fits its table.

use std::collections::BTreeMap;

use super::{
    capture_making,
    capture_record::Written,
    capture_table::Table,
    capture_trigger::{self, PresentTrigger},
    change_log, predicate,
    session::Session,
    statement::statements,
};
use crate::{Capture, ChangeLogField, Result};

statements! {
    PRESENT_FUNCTION = "-- present_function
SELECT string_agg(pg_get_functiondef(oid), '' ORDER BY proname) AS source FROM pg_proc
WHERE proname IN ($1 || '_insert', $1 || '_update', $1 || '_delete') AND pronamespace = to_regnamespace(quote_ident(current_schema()))";
}

/// The command that makes the same capture of a table with another name.
fn command(capture: &Capture, table: &str, columns: &[String]) -> String {
    match &capture.change_log {
        None => capture.command(table),
        Some(fields) => {
            let options = change_log::options(fields, columns);
            let quiet = if capture.notify { "" } else { " --no-notify" };
            format!("aftercommit capture add-changelog {table}{options}{quiet}")
        }
    }
}

/// What became of a table that is not there under its name, and what to do.
pub(super) async fn of_missing(session: &mut Session<'_>, written: &Written) -> Result<String> {
    let present =
        capture_trigger::present(session, written.function.as_deref(), written.first_argument()).await?;
    Ok(without_table(&written.capture, &present))
}

fn without_table(capture: &Capture, present: &[PresentTrigger]) -> String {
    let table = &capture.table;
    match present.first() {
        Some(elsewhere) => format!(
            "the table is now named `{0}`; run `aftercommit capture remove {table}`, then `{1}`",
            elsewhere.shown,
            command(capture, &elsewhere.shown, &capture.columns)
        ),
        None => format!("the table is gone; run `aftercommit capture remove {table}`"),
    }
}

/// What no longer fits, and what to do.
pub(super) async fn drift(
    session: &mut Session<'_>,
    schema: &str,
    written: &Written,
) -> Result<Option<String>> {
    let capture = &written.capture;
    let table = &capture.table;
    let present =
        capture_trigger::present(session, written.function.as_deref(), written.first_argument()).await?;
    let Some(now) = Table::find(session, table).await? else {
        return Ok(Some(without_table(capture, &present)));
    };
    let mut findings = match &capture.change_log {
        None => of_columns(&capture.columns, &now, capture)?,
        Some(fields) => of_fields(fields, &now),
    };
    match &written.function {
        None => findings.push("its triggers were made by an earlier version".to_owned()),
        Some(function) => {
            findings.extend(of_triggers(session, schema, function, &now, capture, &present).await?);
            findings.extend(of_function(session, schema, function, written, &now).await?);
        }
    }
    if let Some(other) = capture_trigger::another_installation(session, now.oid).await? {
        findings.push(format!("the aftercommit in the schema {other} captures the table as well"));
    }
    let misfit = predicate::misfit(session, &now, capture).await?;
    findings.extend(misfit.as_ref().map(|why| format!("its condition does not fit the table: {why}")));
    if findings.is_empty() {
        return Ok(None);
    }
    let is_log_without_column = capture.change_log.iter().flatten().any(|(_, column)| !now.has(column));
    Ok(Some(if misfit.is_some() {
        format!("{}; run `{}`", findings.join("; "), capture.command_for_condition(table))
    } else if is_log_without_column {
        format!("{}; run `{}` again", findings.join("; "), command(capture, table, &now.columns))
    } else {
        format!("{}; run `aftercommit capture refresh {table}`", findings.join("; "))
    }))
}

fn of_fields(fields: &BTreeMap<ChangeLogField, String>, now: &Table) -> Vec<String> {
    fields
        .iter()
        .filter(|(_, column)| !now.has(column))
        .map(|(field, column)| format!("the column {column}, which was its {field}, is gone"))
        .collect()
}

fn of_columns(captured: &[String], now: &Table, capture: &Capture) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let gone: Vec<_> = captured.iter().filter(|name| !now.has(name)).cloned().collect();
    if let Some(key) = capture.key.iter().find(|name| !now.has(name)) {
        findings.push(format!("the column {key} of the key is gone"));
    } else {
        let chosen = capture_making::chosen_now(now, capture)?;
        let new: Vec<_> = chosen.into_iter().filter(|name| !captured.contains(name)).collect();
        if !new.is_empty() {
            findings.push(format!("new columns: {}", new.join(", ")));
        }
    }
    if !gone.is_empty() {
        findings.push(format!("columns that are gone: {}", gone.join(", ")));
    }
    Ok(findings)
}

async fn of_triggers(
    session: &mut Session<'_>,
    schema: &str,
    function: &str,
    now: &Table,
    capture: &Capture,
    present: &[PresentTrigger],
) -> Result<Vec<String>> {
    let relations = now.relations(session).await?;
    let changing = now.changing_triggers(session).await?;
    let is_change_log = capture.change_log.is_some();
    let is_ordered = !is_change_log && !changing.is_empty();
    let needed = capture_trigger::needed(schema, function, &relations, is_change_log, is_ordered);
    let mut findings = Vec::new();
    for trigger in &needed {
        if let Some(problem) = trigger.problem(present) {
            findings.push(if trigger.name == capture_trigger::OF_STATEMENTS && problem == "is missing" {
                let names: Vec<_> = changing.iter().map(|trigger| trigger.name.as_str()).collect();
                format!(
                    "{} can change rows of a statement before their own events are made",
                    names.join(", ")
                )
            } else {
                format!("the trigger {} on {} {problem}", trigger.name, trigger.relation.shown)
            });
        }
    }
    for trigger in present {
        if !relations.iter().any(|relation| relation.shown == trigger.shown) {
            findings
                .push(format!("{} is no part of the table any more and still makes events", trigger.shown));
        } else if trigger.is_earlier {
            findings
                .push(format!("the trigger {} on {} makes events as well", trigger.trigger, trigger.shown));
        }
    }
    if findings.is_empty()
        && let Some(partition) = capture_trigger::disabled_on(session, function).await?
    {
        findings.push(format!("the trigger of {partition} is disabled"));
    }
    if let Some(first) = changing.iter().find(|trigger| trigger.is_first) {
        findings.push(format!("the trigger {} runs before ours", first.name));
    }
    findings.dedup();
    Ok(findings)
}

async fn of_function(
    session: &mut Session<'_>,
    schema: &str,
    function: &str,
    written: &Written,
    now: &Table,
) -> Result<Option<String>> {
    let source: Option<String> = PRESENT_FUNCTION.call().bind(function).value(session).await?;
    if source.is_none() {
        return Ok(Some(format!("the functions {function}_.. are missing")));
    }
    if written.source != source {
        return Ok(Some(format!("the functions {function}_.. were changed")));
    }
    // Without them there is no other function to compare with.
    let is_whole = written.capture.key.iter().all(|column| now.has(column))
        && predicate::misfit(session, now, &written.capture).await?.is_none();
    if is_whole && capture_making::has_outgrown(session, schema, function, written, now).await? {
        return Ok(Some("its columns or triggers are not what its function was made for".to_owned()));
    }
    Ok(None)
}
