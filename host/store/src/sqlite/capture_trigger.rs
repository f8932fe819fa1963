//! The triggers of a captured table.
//!
//! A change takes its place in the inbox before it is made (`.._before`), so that what the application's own triggers do
//! to the row comes after it, and is written there when it was made. A place whose change was not made (`INSERT OR IGNORE`)
//! stays empty; intake removes it. What tables have in common is not here: [`row_view`](super::row_view) makes the images, and
//! migration 13 writes them to their places.
//!
//! `last_insert_rowid()` and `changes()` are the application's again when a trigger ends.

use super::{
    predicate::Predicates,
    row_json::{self, Column, identifier, literal},
    row_view::RowView,
};

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

/// The triggers, (name, text) each.
pub(super) fn triggers(captured: &Captured<'_>) -> Vec<(String, String)> {
    let when = |predicate: Option<&String>| predicate.map(|predicate| format!("({predicate})"));
    let predicates = captured.predicates;
    let created = when(predicates.map(|predicates| &predicates.created));
    let deleted = when(predicates.map(|predicates| &predicates.deleted));
    let (updated, update) = captured.update();
    vec![
        captured.trigger(
            "insert_before",
            "BEFORE INSERT",
            None,
            &captured.place("created", captured.replaces()),
        ),
        captured.trigger("insert", "AFTER INSERT", created.as_deref(), &captured.write("'created'", "NEW")),
        captured.trigger(
            "update_before",
            "BEFORE UPDATE",
            updated.as_deref(),
            &captured.place("updated", captured.moves_over_another()),
        ),
        captured.trigger("update", "AFTER UPDATE", updated.as_deref(), &update),
        captured.trigger(
            "delete_before",
            "BEFORE DELETE",
            deleted.as_deref(),
            &captured.place("deleted", None),
        ),
        captured.trigger("delete", "AFTER DELETE", deleted.as_deref(), &captured.write("'deleted'", "OLD")),
    ]
}

impl Captured<'_> {
    fn trigger(&self, what: &str, on: &str, when: Option<&str>, body: &str) -> (String, String) {
        let when = when.map(|when| format!(" WHEN {when}")).unwrap_or_default();
        let name = format!("aftercommit_{}_{what}", self.table);
        let table = identifier(self.table);
        let text =
            format!("CREATE TRIGGER {} {on} ON {table}{when} BEGIN\n  {body};\nEND", identifier(&name));
        (name, text)
    }

    /// For which updates an event is made, and the statements that write it.
    fn update(&self) -> (Option<String>, String) {
        // A key that changes makes two events; both are made if either is wanted.
        let wanted = self.predicates.map(|Predicates { created, updated, deleted }| {
            let key: Vec<_> = self.key.iter().map(String::as_str).collect();
            let moved = row_json::differs(&key, self.has_collations);
            format!("CASE WHEN {moved} THEN ({created}) OR ({deleted}) ELSE ({updated}) END")
        });
        let view = RowView::of(self.columns.len());
        if let Some(updates) = view.updates() {
            let (old, new) = (view.padded(&self.values("OLD")), view.padded(&self.values("NEW")));
            let write = format!(
                "INSERT INTO {updates} VALUES({},{},{},{},{old},{new})",
                literal(self.entity_type),
                literal(&row_json::heading(self.columns)),
                self.key_of("OLD"),
                self.key_of("NEW")
            );
            return (wanted, write);
        }
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let changed = row_json::differs(&names, self.has_collations);
        let wanted = wanted.map(|wanted| format!(" AND {wanted}")).unwrap_or_default();
        let write = format!("{};\n  {}", self.write("NULL", "OLD"), self.write("'updated'", "NEW"));
        (Some(format!("{changed}{wanted}")), write)
    }

    /// The statement that takes a place; where `late` is true, only the mark that it is to be taken after the change.
    fn place(&self, kind: &str, late: Option<String>) -> String {
        let pending = match late {
            Some(late) => format!("iif({late},'{kind} late','{kind}')"),
            None => format!("'{kind}'"),
        };
        format!("INSERT INTO observer_place VALUES({},{pending})", literal(self.entity_type))
    }

    /// The statement that writes a row there.
    fn write(&self, kind: &str, row: &str) -> String {
        let view = RowView::of(self.columns.len());
        format!(
            "INSERT INTO {} VALUES({kind},{},{},{},{})",
            view.rows(),
            literal(self.entity_type),
            literal(&row_json::heading(self.columns)),
            self.key_of(row),
            view.padded(&self.values(row))
        )
    }

    fn values(&self, row: &str) -> Vec<String> {
        self.columns.iter().map(|column| format!("{row}.{}", identifier(&column.name))).collect()
    }

    /// The key of a row: as it is where that will do, or else as text.
    fn key_of(&self, row: &str) -> String {
        let values: Vec<_> = self.key.iter().map(|name| format!("{row}.{}", identifier(name))).collect();
        let parts = self.key.iter().zip(&values).filter_map(|(name, value)| {
            Some((self.columns.iter().find(|column| column.name == *name)?, value.as_str()))
        });
        let parts: Vec<_> = parts.collect();
        match &parts[..] {
            [(column, value)] if column.is_plain_key() => (*value).to_owned(),
            _ => row_json::key(&parts),
        }
    }

    /// Whether there is a row with the primary key of the new one. If the insert goes on, it replaces that row: its
    /// `deleted`, if the connection has recursive triggers, comes first.
    fn replaces(&self) -> Option<String> {
        if self.primary_key.is_empty() {
            return None;
        }
        let parts: Vec<_> =
            self.primary_key.iter().map(|name| format!("{0}=NEW.{0}", identifier(name))).collect();
        Some(format!("EXISTS(SELECT 1 FROM {} WHERE {})", identifier(self.table), parts.join(" AND ")))
    }

    /// The same of an update that changes the primary key.
    fn moves_over_another(&self) -> Option<String> {
        let replaces = self.replaces()?;
        let names: Vec<_> = self.primary_key.iter().map(String::as_str).collect();
        let moves = row_json::differs(&names, self.has_collations);
        Some(format!("{moves} AND {replaces}"))
    }
}
