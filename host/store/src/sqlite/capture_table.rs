//! What SQLite knows of the application's tables.

use rusqlite::Connection;

use super::{row_json::Column, statement::statements};
use crate::{Result, Selection, StoreError};

statements! {
    FIND_TABLE = "-- find_table
SELECT t.name, t.type, coalesce((SELECT s.sql LIKE '%collate%' FROM sqlite_schema AS s
                                 WHERE s.type = 'table' AND s.name = t.name), 0) AS has_collations
FROM pragma_table_list AS t
WHERE t.schema = 'main' AND t.name = ?1 COLLATE NOCASE";
    LIST_TABLES = "-- list_tables
SELECT name FROM pragma_table_list
WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  AND name NOT LIKE 'observer\\_%' ESCAPE '\\' AND name NOT LIKE 'tb\\_observer%' ESCAPE '\\'
ORDER BY name LIMIT 20";
    /// Generated columns too.
    LIST_COLUMNS = "-- list_columns
SELECT name, upper(type) AS declared, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    LIST_TRIGGERS = "-- list_triggers
SELECT name, tbl_name, sql FROM sqlite_schema
WHERE type IN ('trigger', 'view') AND name IN (SELECT value FROM json_each(?1))";
    TABLE_EXISTS = "-- table_exists
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'index'))";
}

/// The tables of this program. To capture them would make events of events.
const OWN_TABLES: [&str; 20] = [
    "observer_backfills",
    "observer_captures",
    "observer_context",
    "observer_deliveries",
    "observer_destinations",
    "observer_dlq_history",
    "observer_dlq_items",
    "observer_events",
    "observer_hosts",
    "observer_inbox",
    "observer_learned_rates",
    "observer_load_errors",
    "observer_migrations",
    "observer_quarantine",
    "observer_revision",
    "observer_taken",
    "sqlite_schema",
    "sqlite_sequence",
    "tb_observer",
    "tb_observer_log",
];

/// A table of the application.
pub(super) struct Table {
    /// As it is spelled in the schema.
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) primary_key: Vec<String>,
    /// Whether its text names a collation.
    pub(super) has_collations: bool,
}

impl Table {
    /// The table, or `None` if there is none of that name.
    pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<Self>> {
        let Some(record) = FIND_TABLE.call().bind(name).optional(connection)? else { return Ok(None) };
        let name: String = record.get("name")?;
        let mut primary_key = Vec::new();
        let mut columns = Vec::new();
        for column in LIST_COLUMNS.call().bind(&name).all(connection)? {
            let name: String = column.get("name")?;
            match column.get::<i64>("pk")? {
                0 => {}
                place => primary_key.push((place, name.clone())),
            }
            columns.push(Column { name, declared: column.get("declared")? });
        }
        primary_key.sort_unstable();
        let primary_key = primary_key.into_iter().map(|(_, name)| name).collect();
        Ok(Some(Self { name, columns, primary_key, has_collations: record.get("has_collations")? }))
    }

    /// The table that a person asks to capture; refused with what to do if it can not be.
    pub(super) fn capturable(connection: &Connection, asked: &str) -> Result<Self> {
        // SQLite's own name for the database of the file.
        let name = asked.strip_prefix("main.").unwrap_or(asked);
        let Some(record) = FIND_TABLE.call().bind(name).optional(connection)? else {
            return Err(StoreError::Refused(format!(
                "there is no table `{asked}`; {}",
                table_list(connection)?
            )));
        };
        if OWN_TABLES.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(StoreError::Refused(format!(
                "`{name}` belongs to aftercommit or to SQLite itself; capture a table of your application"
            )));
        }
        match record.get::<&str>("type")? {
            "table" => {}
            "view" => {
                return Err(StoreError::Refused(format!(
                    "`{name}` is a view, and commits change tables; capture the tables it reads"
                )));
            }
            kind => {
                return Err(StoreError::Refused(format!(
                    "`{name}` is a {kind} table, which can not have triggers; capture the table that feeds it"
                )));
            }
        }
        match Self::find(connection, name)? {
            Some(table) => Ok(table),
            None => Err(StoreError::Refused(format!("there is no table `{asked}`"))),
        }
    }

    /// The column of exactly this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that are captured. Those of the key always are.
    pub(super) fn selected(&self, selection: &Selection, key: &[String]) -> Result<Vec<Column>> {
        let (named, keep) = match selection {
            Selection::All => return Ok(self.columns.clone()),
            Selection::Only(names) => (names, true),
            Selection::Exclude(names) => (names, false),
        };
        let is_named = |column: &str| named.iter().any(|name| name.eq_ignore_ascii_case(column));
        if let Some(name) = named
            .iter()
            .find(|name| !self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
        {
            return Err(self.no_column(name, "to choose"));
        }
        if let Some(name) = key.iter().find(|name| !keep && is_named(name)) {
            return Err(StoreError::Refused(format!(
                "the column `{name}` is part of the key of `{}`, which every event has; take it out of `--exclude`",
                self.name
            )));
        }
        let is_chosen = |column: &&Column| key.contains(&column.name) || is_named(&column.name) == keep;
        Ok(self.columns.iter().filter(is_chosen).cloned().collect())
    }

    fn no_column(&self, name: &str, what: &str) -> StoreError {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        StoreError::Refused(format!(
            "the table `{}` has no column `{name}` {what}; it has {}",
            self.name,
            names.join(", ")
        ))
    }

    /// The key of its events: the columns that were asked for, or the primary key.
    pub(super) fn key(&self, asked: &[String]) -> Result<Vec<String>> {
        if asked.is_empty() {
            if self.primary_key.is_empty() {
                return Err(StoreError::Refused(format!(
                    "the table `{}` has no primary key; say which columns name a row: `--key COLUMN,..`",
                    self.name
                )));
            }
            return Ok(self.primary_key.clone());
        }
        let mut key = Vec::with_capacity(asked.len());
        for name in asked {
            let column = self
                .columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
                .ok_or_else(|| self.no_column(name, "for its key"))?;
            if key.contains(&column.name) {
                return Err(StoreError::Refused(format!("the key has the column `{name}` twice")));
            }
            key.push(column.name.clone());
        }
        Ok(key)
    }
}

/// Whether a table or an index has this name.
pub(super) fn is_taken(connection: &Connection, name: &str) -> Result<bool> {
    TABLE_EXISTS.call().bind(name).value(connection)
}

fn table_list(connection: &Connection) -> Result<String> {
    let records = LIST_TABLES.call().all(connection)?;
    let names = records.iter().map(|record| record.get("name")).collect::<Result<Vec<&str>>>()?;
    Ok(if names.is_empty() {
        "the database has no tables yet".into()
    } else {
        format!("there are {}", names.join(", "))
    })
}

/// A trigger as it is in the schema.
pub(super) struct PresentTrigger {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) text: String,
}

/// Those of the named triggers that are there.
pub(super) fn present_triggers(connection: &Connection, names_json: &str) -> Result<Vec<PresentTrigger>> {
    let records = LIST_TRIGGERS.call().bind(names_json).all(connection)?;
    records
        .iter()
        .map(|record| {
            Ok(PresentTrigger {
                name: record.get("name")?,
                table: record.get("tbl_name")?,
                text: record.get("sql")?,
            })
        })
        .collect()
}
