//! The triggers of a captured table, one for each verb, and of a change log, one for inserts; each runs once a statement.
//! What they do is in `migrations/postgres/0002_triggers.sql`; here are only their arguments.

use std::collections::BTreeMap;

use super::{capture_table::Relation, connection::identifier};
use crate::{Capture, ChangeLogField};

/// A captured table, as far as its triggers need it.
pub(super) struct Captured<'a> {
    /// The schema of the host's tables.
    pub(super) schema: &'a str,
    pub(super) entity_type: &'a str,
    pub(super) key: &'a [String],
    pub(super) notify: bool,
    pub(super) compares_numbers: bool,
}

/// Verb, transition tables and function; the trigger is named after the verb.
const TRIGGERS: [(&str, &str, &str); 3] = [
    ("insert", "NEW TABLE AS rows", "observer_capture_rows"),
    ("update", "OLD TABLE AS old_rows NEW TABLE AS new_rows", "observer_capture_update"),
    ("delete", "OLD TABLE AS rows", "observer_capture_rows"),
];

impl Captured<'_> {
    /// The statements that make the triggers of one table or partition, or make them again.
    pub(super) fn triggers(&self, relation: &Relation) -> Vec<String> {
        let mut arguments =
            vec![literal(self.entity_type), boolean(self.notify), boolean(self.compares_numbers)];
        arguments.extend(self.key.iter().map(|column| literal(column)));
        let (table, schema, arguments) = (relation.quoted(), identifier(self.schema), arguments.join(", "));
        TRIGGERS
            .iter()
            .map(|(verb, tables, function)| {
                format!(
                    "CREATE OR REPLACE TRIGGER aftercommit_{verb} AFTER {verb} ON {table} REFERENCING {tables} \
                     FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{function}({arguments})"
                )
            })
            .collect()
    }
}

/// A captured change log, as far as its triggers need it.
pub(super) struct CapturedLog<'a> {
    /// The schema of the host's tables.
    pub(super) schema: &'a str,
    /// The name of the capture.
    pub(super) table: &'a str,
    pub(super) fields: &'a BTreeMap<ChangeLogField, String>,
    pub(super) notify: bool,
}

impl CapturedLog<'_> {
    /// The statement that makes the trigger of the log or of a partition of it, or makes it again.
    pub(super) fn trigger(&self, relation: &Relation) -> String {
        let mut arguments = vec![literal(self.table), boolean(self.notify)];
        arguments.extend(
            ChangeLogField::ALL.map(|field| literal(self.fields.get(&field).map_or("", String::as_str))),
        );
        format!(
            "CREATE OR REPLACE TRIGGER aftercommit_log AFTER insert ON {} REFERENCING NEW TABLE AS rows \
             FOR EACH STATEMENT EXECUTE FUNCTION {}.observer_capture_log({})",
            relation.quoted(),
            identifier(self.schema),
            arguments.join(", ")
        )
    }
}

/// The functions behind the triggers of a captured table.
pub(super) const OF_TABLES: &[&str] = &["observer_capture_rows", "observer_capture_update"];
/// The function behind the trigger of a change log.
pub(super) const OF_LOGS: &[&str] = &["observer_capture_log"];

/// What tells the triggers of a capture from all others: their functions and their first argument.
pub(super) fn marks(capture: &Capture) -> (&'static [&'static str], &str) {
    match capture.change_log {
        None => (OF_TABLES, &capture.entity_type),
        Some(_) => (OF_LOGS, &capture.table),
    }
}

fn boolean(value: bool) -> String {
    literal(if value { "true" } else { "false" })
}

/// A text literal, whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        let captured = Captured {
            schema: "my \"own\"",
            entity_type: "d'été",
            key: &["a\\b".to_owned()],
            notify: false,
            compares_numbers: true,
        };
        let relation = Relation {
            schema: "shop".into(),
            name: "odd \"table\"".into(),
            shown: "shop.odd \"table\"".into(),
        };
        assert_eq!(
            captured.triggers(&relation)[2],
            r#"CREATE OR REPLACE TRIGGER aftercommit_delete AFTER delete ON "shop"."odd ""table""" REFERENCING OLD TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION "my ""own""".observer_capture_rows('d''été', 'false', 'true', E'a\\b')"#
        );
    }
}
