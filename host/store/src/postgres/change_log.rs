//! Which columns of a change log say what, and whether they can.

use std::collections::BTreeMap;

use aftercommit_core::shell_option;

use super::{capture_table::Table, session::Session, statement::statements};
use crate::{ChangeLogField, Result, StoreError};

statements! {
    COLUMN_TYPES = "-- column_types
SELECT a.attname AS name, format_type(CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, NULL) AS type
FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";
}

const JSON: &[&str] = &["jsonb", "json"];
const TIMES: &[&str] = &["timestamp with time zone", "timestamp without time zone", "date"];

/// The columns of a table that say what a change log says: those that were asked for, and else those that are named as
/// usual.
pub(super) async fn fields(
    session: &mut Session<'_>,
    table: &Table,
    asked: &BTreeMap<ChangeLogField, String>,
) -> Result<BTreeMap<ChangeLogField, String>> {
    let mut fields = BTreeMap::new();
    let mut missing = Vec::new();
    for field in ChangeLogField::ALL {
        match column(table, field, asked.get(&field))? {
            Some(column) => _ = fields.insert(field, column),
            None if field.is_required() => missing.push(field),
            None => {}
        }
    }
    if !missing.is_empty() {
        return Err(lacking(table, &missing));
    }
    refuse_types(session, table, &fields).await?;
    Ok(fields)
}

fn column(table: &Table, field: ChangeLogField, asked: Option<&String>) -> Result<Option<String>> {
    let Some(asked) = asked else {
        let usual = field.usual_columns().iter().find(|usual| table.has(usual));
        return Ok(usual.map(|&usual| usual.to_owned()));
    };
    if asked.is_empty() {
        return Ok(None);
    }
    let lower = asked.to_lowercase();
    match [asked, &lower].into_iter().find(|name| table.has(name)) {
        Some(name) => Ok(Some(name.clone())),
        None => Err(StoreError::Refused(format!(
            "the table `{}` has no column `{asked}` for `{field}`; it has {}",
            table.relation.shown,
            table.columns.join(", ")
        ))),
    }
}

fn lacking(table: &Table, missing: &[ChangeLogField]) -> StoreError {
    let names: Vec<_> = missing.iter().map(|field| format!("`{field}`")).collect();
    let options: Vec<_> = missing.iter().map(|field| format!("--column {field}=COLUMN")).collect();
    StoreError::Refused(format!(
        "the table `{}` is not shaped like a change log: it has no column {}; name what it has instead with `{}`, among {}; \
         a table that is none is captured with `aftercommit capture add`",
        table.relation.shown,
        names.join(" and no column "),
        options.join(" "),
        table.columns.join(", ")
    ))
}

/// JSON in a text would have to be parsed in the application's transaction, which fails when it is none.
async fn refuse_types(
    session: &mut Session<'_>,
    table: &Table,
    fields: &BTreeMap<ChangeLogField, String>,
) -> Result<()> {
    let mut types = BTreeMap::new();
    for record in COLUMN_TYPES.call().bind(table.oid).all(session).await? {
        types.insert(record.get::<String>("name")?, record.get::<String>("type")?);
    }
    for (field, column) in fields {
        let good = match field {
            ChangeLogField::ObjectData | ChangeLogField::Before => JSON,
            ChangeLogField::CreatedAt => TIMES,
            _ => continue,
        };
        let kind = types.get(column).map_or("of no type", String::as_str);
        if !good.contains(&kind) {
            return Err(StoreError::Refused(format!(
                "the column `{column}` of `{}` is {kind}, and `{field}` has to be {}; change its type, or name another one \
                 with `--column {field}=COLUMN`{}",
                table.relation.shown,
                good.join(" or "),
                if field.is_required() { "" } else { " (none with nothing after the `=`)" }
            )));
        }
    }
    Ok(())
}

/// The options that name the same columns again in a table with these columns. Of a column
/// that is gone, people know what it is now.
pub(super) fn options(fields: &BTreeMap<ChangeLogField, String>, present: &[String]) -> String {
    let mut options = Vec::new();
    for field in ChangeLogField::ALL {
        let usual = field.usual_columns().iter().find(|usual| present.iter().any(|column| column == *usual));
        let named = fields.get(&field).map(String::as_str);
        if named != usual.copied() {
            let is_there = |name: &&str| present.iter().any(|column| column == name);
            let column = named.map_or("", |name| Some(name).filter(is_there).unwrap_or("COLUMN"));
            options.push(shell_option("--column", &format!("{field}={column}")));
        }
    }
    options.join(" ")
}
