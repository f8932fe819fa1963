//! The triggers of a captured table: one for each verb, for each statement. What they do is in
//! `migrations/postgres/0002_triggers.sql`; here are only their arguments.

use super::{capture_table::Relation, connection::identifier};

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
        let mut arguments = vec![
            literal(self.entity_type),
            literal(if self.notify { "true" } else { "false" }),
            literal(if self.compares_numbers { "true" } else { "false" }),
        ];
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
