//! Makes and drops the views and triggers of captures. Those that make images are shared by the captures of about the same
//! number of columns: they are made with the first of them, and dropped with the last.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{
    capture_table::{is_taken, present_triggers},
    failure,
    row_json::identifier,
    row_view::{RowView, is_shared},
    statement::rows_as_json,
};
use crate::{Result, StoreError, captures::Written};

/// Makes the triggers of a table.
pub(super) fn make_own(write: &Connection, triggers: &[(String, String)]) -> Result<()> {
    for (name, text) in triggers {
        drop_one(write, name, text)?;
        run(write, "create_trigger", text)?;
    }
    Ok(())
}

/// Makes the views and triggers that a capture shares with others, unless they are there as they should be.
pub(super) fn make_shared(write: &Connection, view: RowView, captures: &[Written]) -> Result<()> {
    let texts = view.texts();
    let names: Vec<_> = texts.iter().map(|(name, _)| name).collect();
    let present = present_triggers(write, &rows_as_json(&names))?;
    let is_there =
        |(name, text): &(String, String)| present.iter().any(|it| it.name == *name && it.text == *text);
    if texts.iter().all(is_there) {
        return Ok(());
    }
    let is_ours = |name: &String| captures.iter().any(|written| written.triggers.contains_key(name));
    for name in names {
        let is_anothers = present.iter().any(|it| it.name == *name) && !is_ours(name);
        if is_anothers || is_taken(write, name)? {
            return Err(StoreError::Refused(format!(
                "there is something named `{name}` already, which captures need; rename it"
            )));
        }
    }
    for (name, text) in &texts {
        drop_one(write, name, text)?;
    }
    texts.iter().try_for_each(|(_, text)| run(write, "create_trigger", text))
}

/// Drops what a capture has for itself.
pub(super) fn drop_own(write: &Connection, triggers: &BTreeMap<String, String>) -> Result<()> {
    let own = triggers.iter().filter(|(name, _)| !is_shared(name));
    own.into_iter().try_for_each(|(name, text)| drop_one(write, name, text))
}

/// Drops what a capture shared with others, as far as none of them needs it.
pub(super) fn drop_unused(
    write: &Connection,
    triggers: &BTreeMap<String, String>,
    captures: &[Written],
) -> Result<()> {
    let is_used = |name: &String| captures.iter().any(|written| written.triggers.contains_key(name));
    let unused = triggers.iter().filter(|(name, _)| is_shared(name) && !is_used(name));
    unused.into_iter().try_for_each(|(name, text)| drop_one(write, name, text))
}

/// The triggers of a view go with it.
fn drop_one(write: &Connection, name: &str, text: &str) -> Result<()> {
    let kind = if text.starts_with("CREATE VIEW") { "VIEW" } else { "TRIGGER" };
    run(write, "drop_trigger", &format!("DROP {kind} IF EXISTS {}", identifier(name)))
}

/// Runs a statement that was put together here: triggers can not take arguments. Names in it are quoted.
pub(super) fn run(connection: &Connection, name: &'static str, sql: &str) -> Result<()> {
    connection.execute_batch(sql).map_err(|error| failure::of_step(name, &error))
}
