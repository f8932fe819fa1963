//! What PostgreSQL knows of the application's tables.

use super::{
    connection::identifier,
    session::Session,
    statement::{Record, statements},
};
use crate::{Result, Selection, StoreError};

/// A table is shown, and stored, as `table` if it is in the schema `public`, else as `schema.table`.
macro_rules! shown_name {
    () => {
        "CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END"
    };
}

statements! {
    /// Names as they are written, without SQL's quotes; `schema.table` goes before a table whose name has a dot. Tables
    /// that are in no search path can be found too, since hosts have one of their own.
    FIND_TABLES = concat!("-- find_tables
SELECT c.oid, n.nspname AS schema, c.relname AS name, ", shown_name!(), " AS shown, false AS is_partition, c.relkind::text AS kind,
       c.relpersistence = 't' AS temporary, n.nspname || '.' || c.relname = $1 AS exact,
       n.nspname = ANY ('{pg_catalog,information_schema,pg_toast}') AS systems,
       n.nspname = current_schema() AND c.relname ~
           '^(observer_(backfills|captures|deliveries|destinations|dlq_history|dlq_items|events(_default|_[0-9]{8})?|hosts|inbox|load_errors|migrations|quarantine|revision)|tb_observer(_log(_default|_[0-9]{8})?)?)$'
           AS own
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (n.nspname || '.' || c.relname = $1 OR c.relname = $1)
ORDER BY exact DESC, systems, n.nspname = 'public' DESC, n.nspname");
    LIST_TABLES = concat!("-- list_tables
SELECT ", shown_name!(), " AS shown
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema$)'
  AND c.relname !~ '^(observer_|tb_observer)'
ORDER BY 1 LIMIT 20");
    /// Generated columns too, but for those that are computed when they are read: triggers do not see them.
    LIST_COLUMNS = "-- list_columns
SELECT a.attname AS name, k.place AS key_place, a.attgenerated = 'v' AS is_virtual
FROM pg_attribute AS a
     LEFT JOIN (SELECT u.attnum, u.place FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS u (attnum, place)
                WHERE i.indrelid = $1 AND i.indisprimary) AS k ON k.attnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";
    /// The table, its partitions and the tables that inherit from it, at all depths. Foreign tables can not have such
    /// triggers.
    LIST_RELATIONS = concat!("-- list_relations
WITH RECURSIVE tree (oid) AS (
    SELECT $1::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT n.nspname AS schema, c.relname AS name, ", shown_name!(), " AS shown, c.relispartition AND c.oid <> $1 AS is_partition
FROM tree JOIN pg_class AS c USING (oid) JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
ORDER BY c.oid <> $1, n.nspname, c.relname");
    /// The application's triggers, and those of foreign keys, that run for each row after it was changed and can change
    /// rows themselves.
    CHANGING_TRIGGERS = "-- changing_triggers
WITH RECURSIVE tree (oid) AS (
    SELECT $1::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT DISTINCT t.tgname AS name, t.tgname < '!aftercommit' COLLATE \"C\" AS is_first
FROM tree JOIN pg_trigger AS t ON t.tgrelid = tree.oid JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE t.tgtype & 1 = 1 AND t.tgtype & 66 = 0 AND t.tgname NOT LIKE '!aftercommit%'
  AND NOT (p.pronamespace = to_regnamespace(quote_ident(current_schema())) AND p.proname LIKE 'observer\\_capture\\_%')
  AND NOT (p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^RI_FKey_(check|noaction|restrict)_')
ORDER BY 1";
}

/// A table of the application.
pub(super) struct Table {
    pub(super) relation: Relation,
    pub(super) columns: Vec<String>,
    /// Columns that are computed when they are read.
    pub(super) virtual_columns: Vec<String>,
    pub(super) oid: sqlx::postgres::types::Oid,
    primary_key: Vec<String>,
}

/// A trigger of the application that can change rows.
pub(super) struct ChangingTrigger {
    pub(super) name: String,
    /// Whether it runs before ours.
    pub(super) is_first: bool,
}

/// A table or one of its partitions.
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    /// As people write it.
    pub(super) shown: String,
    /// Whether it has the triggers of the table that it is a part of.
    pub(super) is_partition: bool,
}

impl Relation {
    /// As SQL writes it.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }

    fn read(record: &Record) -> Result<Self> {
        Ok(Self {
            schema: record.get("schema")?,
            name: record.get("name")?,
            shown: record.get("shown")?,
            is_partition: record.get("is_partition")?,
        })
    }
}

impl Table {
    /// The table that is stored under this name, or `None` if there is none any more.
    pub(super) async fn find(session: &mut Session<'_>, shown: &str) -> Result<Option<Self>> {
        let found = FIND_TABLES.call().bind(shown).all(session).await?;
        for record in &found {
            if record.get::<&str>("shown")? == shown && matches!(record.get::<&str>("kind")?, "r" | "p") {
                return Ok(Some(Self::read(session, record).await?));
            }
        }
        Ok(None)
    }

    /// The table that a person asks to capture; refused with what to do if it can not be.
    pub(super) async fn capturable(session: &mut Session<'_>, asked: &str) -> Result<Self> {
        let mut found = FIND_TABLES.call().bind(asked).all(session).await?;
        if found.is_empty() {
            // As SQL reads a name without quotes.
            found = FIND_TABLES.call().bind(asked.to_lowercase()).all(session).await?;
        }
        let Some(record) = found.first() else {
            let tables = table_list(session).await?;
            return Err(StoreError::Refused(format!("there is no table `{asked}`; {tables}")));
        };
        refuse_ambiguous(asked, &found)?;
        refuse_kind(asked, record)?;
        Self::read(session, record).await
    }

    async fn read(session: &mut Session<'_>, record: &Record) -> Result<Self> {
        let oid = record.get("oid")?;
        let mut primary_key: Vec<(i64, String)> = Vec::new();
        let (mut columns, mut virtual_columns) = (Vec::new(), Vec::new());
        for column in LIST_COLUMNS.call().bind(oid).all(session).await? {
            let name: String = column.get("name")?;
            if let Some(place) = column.get("key_place")? {
                primary_key.push((place, name.clone()));
            }
            if column.get("is_virtual")? {
                virtual_columns.push(name);
            } else {
                columns.push(name);
            }
        }
        primary_key.sort_unstable();
        Ok(Self {
            relation: Relation::read(record)?,
            columns,
            virtual_columns,
            oid,
            primary_key: primary_key.into_iter().map(|(_, name)| name).collect(),
        })
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|present| present == column)
    }

    /// The table itself, then its partitions and the tables that inherit from it.
    pub(super) async fn relations(&self, session: &mut Session<'_>) -> Result<Vec<Relation>> {
        LIST_RELATIONS.call().bind(self.oid).all(session).await?.iter().map(Relation::read).collect()
    }

    /// Triggers that can change a row of the table before the event of its own change is made.
    pub(super) async fn changing_triggers(&self, session: &mut Session<'_>) -> Result<Vec<ChangingTrigger>> {
        let records = CHANGING_TRIGGERS.call().bind(self.oid).all(session).await?;
        records
            .iter()
            .map(|record| {
                Ok(ChangingTrigger { name: record.get("name")?, is_first: record.get("is_first")? })
            })
            .collect()
    }

    /// The chosen columns; refused if one of them is not there, or if the key is left out.
    pub(super) fn chosen(&self, selection: &Selection, key: &[String]) -> Result<Vec<String>> {
        let (named, is_only) = match selection {
            Selection::All => return Ok(self.columns.clone()),
            Selection::Only(named) => (named, true),
            Selection::Exclude(named) => (named, false),
        };
        let table = &self.relation.shown;
        if let Some(name) = named.iter().find(|name| !self.has(name)) {
            return Err(StoreError::Refused(format!(
                "the table `{table}` has no column `{name}`; it has {}",
                self.columns.join(", ")
            )));
        }
        if let Some(name) = key.iter().find(|name| !is_only && named.contains(name)) {
            return Err(StoreError::Refused(format!(
                "the column `{name}` is part of the key of `{table}`, which every event has; choose another key with `--key`"
            )));
        }
        let is_chosen = |column: &&String| key.contains(column) || named.contains(column) == is_only;
        Ok(self.columns.iter().filter(is_chosen).cloned().collect())
    }

    /// The key of its events: the columns that were asked for, or the primary key.
    pub(super) fn key(&self, asked: &[String]) -> Result<Vec<String>> {
        let table = &self.relation.shown;
        if asked.is_empty() {
            if self.primary_key.is_empty() {
                return Err(StoreError::Refused(format!(
                    "the table `{table}` has no primary key; say which columns name a row: `--key COLUMN,..`"
                )));
            }
            return Ok(self.primary_key.clone());
        }
        let mut key = Vec::with_capacity(asked.len());
        for name in asked {
            let column = self
                .columns
                .iter()
                .find(|column| *column == name)
                .or_else(|| self.columns.iter().find(|column| **column == name.to_lowercase()))
                .ok_or_else(|| {
                    StoreError::Refused(format!(
                        "the table `{table}` has no column `{name}` for its key; it has {}",
                        self.columns.join(", ")
                    ))
                })?;
            if key.contains(column) {
                return Err(StoreError::Refused(format!("the key has the column `{name}` twice")));
            }
            key.push(column.clone());
        }
        Ok(key)
    }
}

/// A name without a schema may be that of several tables; those in `public` go first, as they do in SQL.
fn refuse_ambiguous(asked: &str, found: &[Record]) -> Result<()> {
    let mut names = Vec::new();
    for record in found {
        let clear = record.get::<bool>("exact")? || record.get::<&str>("schema")? == "public";
        if names.is_empty() && clear {
            return Ok(());
        }
        if !record.get::<bool>("systems")? {
            names.push(record.get::<&str>("shown")?);
        }
    }
    match names.len() {
        0 | 1 => Ok(()),
        _ => Err(StoreError::Refused(format!(
            "there are several tables named `{asked}`; write one of {}",
            names.join(", ")
        ))),
    }
}

fn refuse_kind(asked: &str, record: &Record) -> Result<()> {
    let why = if record.get("own")? || record.get("systems")? {
        "belongs to aftercommit or to PostgreSQL itself; capture a table of your application"
    } else if record.get("temporary")? {
        "is a temporary table, which only its own session sees; capture a lasting one"
    } else {
        match record.get::<&str>("kind")? {
            "r" | "p" => return Ok(()),
            "f" => {
                "is a foreign table, which can not have these triggers; capture the table on its own server"
            }
            "m" => "is a materialized view, and commits change tables; capture the tables it reads",
            _ => "is a view, and commits change tables; capture the tables it reads",
        }
    };
    Err(StoreError::Refused(format!("`{asked}` {why}")))
}

async fn table_list(session: &mut Session<'_>) -> Result<String> {
    let records = LIST_TABLES.call().all(session).await?;
    let names = records.iter().map(|record| record.get("shown")).collect::<Result<Vec<&str>>>()?;
    Ok(if names.is_empty() {
        "the database has no tables yet".into()
    } else {
        format!("there are {}", names.join(", "))
    })
}
