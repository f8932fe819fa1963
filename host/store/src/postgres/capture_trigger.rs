//! The triggers of captured tables and change logs: their texts, and those that are there.

use super::{
    capture_table::Relation,
    connection::identifier,
    function_name::Verb,
    session::Session,
    statement::{Record, statements},
};
use crate::Result;

/// Runs for each row that was changed. PostgreSQL runs the triggers of a row by the order of their names, so that ours sees
/// a row before the application's triggers, and those of foreign keys, change it again.
const OF_ROWS: [(Verb, &str); 3] = [
    (Verb::Insert, "!aftercommit_insert"),
    (Verb::Update, "!aftercommit_update"),
    (Verb::Delete, "!aftercommit_delete"),
];

/// Runs before a statement whose rows can be changed before their own events are made.
pub(super) const OF_STATEMENTS: &str = "!aftercommit_statement";

/// The function behind it.
const STATEMENT_FUNCTION: &str = "observer_statement_begins";

/// The functions behind the triggers of earlier versions, which had the entity type, or the table of a change log, as their
/// first argument.
const EARLIER: &[&str] = &["observer_capture_rows", "observer_capture_update", "observer_capture_log"];

statements! {
    /// Those of one capture: by its function; before statements of the same tables; and those of an earlier version. They
    /// follow their table when that is renamed. Those of partitions that belong to the table's own come and go with it.
    PRESENT_TRIGGERS = "-- present_triggers
WITH ours AS (
    SELECT t.*, p.proname AS function
    FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE p.pronamespace = to_regnamespace(quote_ident(current_schema())) AND t.tgparentid = 0
), named AS (
    SELECT o.* FROM ours AS o
         CROSS JOIN (SELECT convert_to($2, getdatabaseencoding()) || '\\x00'::bytea AS first) AS e
    WHERE o.function IN ($1 || '_insert', $1 || '_update', $1 || '_delete')
       OR o.function = ANY ($3) AND substring(o.tgargs FROM 1 FOR octet_length(e.first)) = e.first
)
SELECT n.nspname AS schema, c.relname AS name, t.tgname AS trigger, t.tgenabled::text AS enabled,
       pg_get_triggerdef(t.oid) AS text, t.function = ANY ($3) AS is_earlier,
       CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS shown
FROM (SELECT * FROM named
      UNION SELECT * FROM ours WHERE function = $4 AND (tgrelid IN (SELECT tgrelid FROM named) OR tgrelid IN (
          SELECT inhrelid FROM pg_inherits WHERE inhparent IN (SELECT tgrelid FROM named)))) AS t
     JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY c.relispartition, c.oid, t.tgname";
    /// Of another schema's aftercommit, on this table.
    FOREIGN_TRIGGERS = "-- foreign_triggers
SELECT n.nspname AS schema
FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE t.tgrelid = $1 AND n.nspname <> current_schema() AND p.proname LIKE 'observer\\\\_capture\\\\_%'
ORDER BY 1 LIMIT 1";
    IS_DISABLED = "-- is_disabled
SELECT c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE p.pronamespace = to_regnamespace(quote_ident(current_schema())) AND p.proname IN ($1 || '_insert', $1 || '_update', $1 || '_delete')
  AND t.tgenabled = 'D'
ORDER BY 1 LIMIT 1";
}

/// A trigger as it is in the database.
pub(super) struct PresentTrigger {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) shown: String,
    pub(super) trigger: String,
    /// Whether an earlier version of this program made it.
    pub(super) is_earlier: bool,
    text: String,
    enabled: String,
}

impl PresentTrigger {
    fn read(record: &Record) -> Result<Self> {
        Ok(Self {
            schema: record.get("schema")?,
            table: record.get("name")?,
            shown: record.get("shown")?,
            trigger: record.get("trigger")?,
            is_earlier: record.get("is_earlier")?,
            text: record.get("text")?,
            enabled: record.get("enabled")?,
        })
    }

    fn is(&self, trigger: &Trigger<'_>) -> bool {
        self.trigger == trigger.name
            && self.schema == trigger.relation.schema
            && self.table == trigger.relation.name
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.enabled == "D"
    }

    /// The statement that ends it.
    pub(super) fn drop(&self) -> String {
        format!(
            "DROP TRIGGER {} ON {}.{}",
            identifier(&self.trigger),
            identifier(&self.schema),
            identifier(&self.table)
        )
    }

    /// The statement that lets it run as it did before it was made again.
    pub(super) fn enable(&self) -> Option<String> {
        let how = match self.enabled.as_str() {
            "A" => "ENABLE ALWAYS",
            "R" => "ENABLE REPLICA",
            _ => return None,
        };
        Some(format!(
            "ALTER TABLE {}.{} {how} TRIGGER {}",
            identifier(&self.schema),
            identifier(&self.table),
            identifier(&self.trigger)
        ))
    }
}

/// The triggers that a capture has made: by the name of its function, and by the first argument of earlier ones.
pub(super) async fn present(
    session: &mut Session<'_>,
    function: Option<&str>,
    first_argument: &str,
) -> Result<Vec<PresentTrigger>> {
    let call = PRESENT_TRIGGERS.call().bind(function).bind(first_argument).bind(EARLIER);
    call.bind(STATEMENT_FUNCTION).all(session).await?.iter().map(PresentTrigger::read).collect()
}

/// Another schema whose aftercommit captures the table as well.
pub(super) async fn another_installation(
    session: &mut Session<'_>,
    table: sqlx::postgres::types::Oid,
) -> Result<Option<String>> {
    let found = FOREIGN_TRIGGERS.call().bind(table).optional(session).await?;
    found.map(|record| record.get("schema")).transpose()
}

/// A table or partition on which a trigger with this function is disabled.
pub(super) async fn disabled_on(session: &mut Session<'_>, function: &str) -> Result<Option<String>> {
    let found = IS_DISABLED.call().bind(function).optional(session).await?;
    found.map(|record| record.get("relname")).transpose()
}

/// A trigger that a capture needs.
pub(super) struct Trigger<'a> {
    pub(super) name: &'static str,
    pub(super) relation: &'a Relation,
    text: String,
}

impl Trigger<'_> {
    /// The statement that makes it, or makes it again.
    pub(super) fn create(&self) -> String {
        format!("CREATE OR REPLACE TRIGGER {} {}", identifier(self.name), self.text)
    }

    /// What is wrong with it, if anything is.
    pub(super) fn problem(&self, present: &[PresentTrigger]) -> Option<&'static str> {
        match present.iter().find(|present| present.is(self)) {
            None => Some("is missing"),
            Some(found) if found.is_disabled() => Some("is disabled"),
            Some(found) => (!self.fits(found)).then_some("was changed"),
        }
    }

    /// Whether the text that the server shows is that of this trigger. It writes names in its own way.
    fn fits(&self, present: &PresentTrigger) -> bool {
        let plain = |text: &str| text.replace(['"', ' '], "").to_lowercase();
        let (wanted, found) = (plain(&self.text), plain(&present.text));
        // What runs, for what, and when; the function's schema is shown where it has to be.
        let events = |text: &str| text.split("on").next().unwrap_or_default().to_owned();
        let function = |text: &str| text.rsplit(['.', 'n']).next().unwrap_or_default().to_owned();
        let wanted_events = events(&wanted);
        found.contains(&format!("{}{wanted_events}on", plain(self.name)))
            && function(&wanted) == function(&found)
            && found.contains("foreachrow") == wanted.contains("foreachrow")
            && !found.contains("when(")
    }
}

/// The triggers that a table and its parts need.
pub(super) fn needed<'a>(
    schema: &str,
    function: &str,
    relations: &'a [Relation],
    is_change_log: bool,
    is_ordered: bool,
) -> Vec<Trigger<'a>> {
    let schema = identifier(schema);
    let verbs = if is_change_log { &OF_ROWS[..1] } else { &OF_ROWS[..] };
    let mut triggers = Vec::new();
    for relation in relations {
        let table = relation.quoted();
        if !relation.is_partition {
            for (verb, name) in verbs {
                let function = identifier(&verb.function(function));
                let verb = verb.as_str();
                let text =
                    format!("AFTER {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.{function}()");
                triggers.push(Trigger { name, relation, text });
            }
        }
        if is_ordered {
            let text = format!(
                "BEFORE INSERT OR DELETE OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{STATEMENT_FUNCTION}()"
            );
            triggers.push(Trigger { name: OF_STATEMENTS, relation, text });
        }
    }
    triggers
}
