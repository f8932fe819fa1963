//! The triggers of a captured table.
//!
//! A change takes its place in the inbox before it is made (`.._before`), so that what the application's own triggers do
//! to the row comes after it, and is written there when it was made. A place whose change was not made (`INSERT OR IGNORE`)
//! stays empty; intake removes it. The images are made in one trigger, of a view that nobody reads (`.._event`), so that
//! each expression is parsed once.
//!
//! `last_insert_rowid()` and `changes()` are the application's again when a trigger ends.

use super::{
    predicate::Predicates,
    row_json::{self, Column, identifier, literal},
};

/// The most columns: the view has two more, and SQLite's limit is 2000.
pub(super) const MAX_COLUMNS: usize = 1990;

/// A captured table, as far as its triggers need it.
pub(super) struct Captured<'a> {
    pub(super) table: &'a str,
    pub(super) entity_type: &'a str,
    pub(super) key: &'a [String],
    pub(super) columns: &'a [Column],
    pub(super) primary_key: &'a [String],
    /// Whether the table's text names a collation.
    pub(super) has_collations: bool,
    /// For which changes an event is made.
    pub(super) predicates: Option<&'a Predicates>,
}

/// The name of the view to which images are written.
pub(super) fn view_of(table: &str) -> String {
    format!("aftercommit_{table}")
}

/// The view and the triggers in the order in which they are made, (name, text) each.
pub(super) fn triggers(captured: &Captured<'_>) -> Vec<(String, String)> {
    let names: Vec<_> = captured.columns.iter().map(|column| column.name.as_str()).collect();
    let changed = row_json::differs(&names, captured.has_collations);
    let predicates = captured.predicates;
    let when = |predicate: Option<&String>| predicate.map(|predicate| format!("({predicate})"));
    let updated = match predicates {
        Some(predicates) => {
            let key: Vec<_> = captured.key.iter().map(String::as_str).collect();
            let moved = row_json::differs(&key, captured.has_collations);
            let Predicates { created, updated, deleted } = predicates;
            // A key that changes makes two events; both are made if either is wanted.
            format!("{changed} AND CASE WHEN {moved} THEN ({created}) OR ({deleted}) ELSE ({updated}) END")
        }
        None => changed,
    };
    let deleted = when(predicates.map(|predicates| &predicates.deleted));
    let created = when(predicates.map(|predicates| &predicates.created));
    let mut all = captured.event_triggers();
    all.extend([
        captured.trigger(
            "insert_before",
            "BEFORE INSERT",
            None,
            &captured.place("created", &captured.replaces()),
        ),
        captured.trigger(
            "insert",
            "AFTER INSERT",
            created.as_deref(),
            &captured.write("'created'", "created", "NEW"),
        ),
        captured.trigger(
            "update_before",
            "BEFORE UPDATE",
            Some(&updated),
            &captured.place("updated", &captured.moves_over_another()),
        ),
        captured.trigger(
            "update",
            "AFTER UPDATE",
            Some(&updated),
            &format!(
                "{};\n  {}",
                captured.write("NULL", "updated", "OLD"),
                captured.write("'updated'", "updated", "NEW")
            ),
        ),
        captured.trigger(
            "delete_before",
            "BEFORE DELETE",
            deleted.as_deref(),
            &captured.place("deleted", "0"),
        ),
        captured.trigger(
            "delete",
            "AFTER DELETE",
            deleted.as_deref(),
            &captured.write("'deleted'", "deleted", "OLD"),
        ),
    ]);
    all
}

impl Captured<'_> {
    fn trigger(&self, what: &str, on: &str, when: Option<&str>, body: &str) -> (String, String) {
        let when = when.map(|when| format!(" WHEN {when}")).unwrap_or_default();
        self.named(what, &format!("{on} ON {}{when}", identifier(self.table)), body)
    }

    fn named(&self, what: &str, head: &str, body: &str) -> (String, String) {
        let name = format!("aftercommit_{}_{what}", self.table);
        let text = format!("CREATE TRIGGER {} {head} BEGIN\n  {body};\nEND", identifier(&name));
        (name, text)
    }

    /// The view that takes a kind (null: the image before an update), the kind of its place, and a row; and what becomes of it.
    fn event_triggers(&self) -> Vec<(String, String)> {
        let view = view_of(self.table);
        let quoted = identifier(&view);
        let count = self.columns.len();
        let columns = (0..count).map(|n| format!(",c{n}")).collect::<Vec<_>>().concat();
        let text = format!("CREATE VIEW {quoted}(kind,place{columns}) AS SELECT 0,0{}", ",0".repeat(count));
        let values: Vec<_> = (0..count).map(|n| format!("NEW.c{n}")).collect();
        let key_columns: Vec<_> = self
            .key
            .iter()
            .filter_map(|name| self.columns.iter().zip(&values).find(|(column, _)| column.name == *name))
            .map(|(column, value)| (column, value.as_str()))
            .collect();
        let key = row_json::key(&key_columns);
        let entity_type = literal(self.entity_type);
        // Places of the same statement are at the top: what it has written is not older than the statement.
        let found = format!(
            "FROM observer_inbox WHERE seq>=(SELECT us FROM observer_now) AND pending IN (NEW.place,NEW.place||' late') \
             AND entity_type={entity_type} ORDER BY seq DESC LIMIT 1"
        );
        let event = format!(
            "UPDATE observer_inbox SET entity_id={key},old_id=entity_id,event_kind=NEW.kind,old=data,data={},\
             pending=iif(NEW.kind IS NULL,pending,NULL),\
             (actor,tenant_id,traceparent)=(SELECT actor,tenant_id,traceparent FROM observer_context)\n  \
             WHERE seq=(SELECT seq {found})",
            row_json::object(self.columns, &values)
        );
        let late = format!(
            "INSERT INTO observer_inbox(seq,entity_type,pending) VALUES((SELECT seq FROM observer_next),{entity_type},NEW.place)"
        );
        vec![
            (view, text),
            self.named("event", &format!("INSTEAD OF INSERT ON {quoted}"), &event),
            // Made later, so it comes first: where no place was taken, or one that is too early, there is one now.
            self.named(
                "late",
                &format!("INSTEAD OF INSERT ON {quoted} WHEN NEW.place IS NOT (SELECT pending {found})"),
                &late,
            ),
        ]
    }

    /// The statement that takes a place; where `late` is true, only the mark that it is to be taken after the change.
    fn place(&self, kind: &str, late: &str) -> String {
        format!(
            "INSERT INTO observer_inbox(seq,entity_type,pending) VALUES((SELECT seq FROM observer_next),{},\
             iif({late},'{kind} late','{kind}'))",
            literal(self.entity_type)
        )
    }

    /// The statement that writes a row there.
    fn write(&self, kind: &str, place: &str, row: &str) -> String {
        let value = |column: &Column| format!(",{row}.{}", identifier(&column.name));
        let values = self.columns.iter().map(value).collect::<Vec<_>>().concat();
        format!("INSERT INTO {} VALUES({kind},'{place}'{values})", identifier(&view_of(self.table)))
    }

    /// Whether there is a row with the primary key of the new one. If the insert goes on, it replaces that row: its
    /// `deleted`, if the connection has recursive triggers, comes first.
    fn replaces(&self) -> String {
        if self.primary_key.is_empty() {
            return "0".to_owned();
        }
        let parts: Vec<_> =
            self.primary_key.iter().map(|name| format!("{0}=NEW.{0}", identifier(name))).collect();
        format!("EXISTS(SELECT 1 FROM {} WHERE {})", identifier(self.table), parts.join(" AND "))
    }

    /// The same of an update that changes the primary key.
    fn moves_over_another(&self) -> String {
        if self.primary_key.is_empty() {
            return "0".to_owned();
        }
        let names: Vec<_> = self.primary_key.iter().map(String::as_str).collect();
        let moves = row_json::differs(&names, self.has_collations);
        format!("{moves} AND {}", self.replaces())
    }
}
