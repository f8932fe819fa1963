//! The command that makes a capture again: it names all options, since `capture add` replaces those that it does not name.

use crate::{Capture, Selection};

impl Capture {
    /// The command that captures this table in the same way.
    pub(crate) fn command(&self, table: &str) -> String {
        let mut command =
            format!("aftercommit capture add {} --entity {}", word(table), word(&self.entity_type));
        let mut add = |option: &str, value: &str| command.extend([" --", option, " ", &word(value)]);
        if !self.key.is_empty() {
            add("key", &self.key.join(","));
        }
        match &self.selection {
            Selection::All => {}
            Selection::Only(names) => add("only", &names.join(",")),
            Selection::Exclude(names) => add("exclude", &names.join(",")),
        }
        if let Some(condition) = &self.condition {
            add("when", condition);
        }
        if !self.notify {
            command.push_str(" --no-notify");
        }
        command
    }

    /// The same with another key, which nobody can guess.
    pub(crate) fn command_for_key(&self, table: &str) -> String {
        Self { key: unknown_columns(), ..self.clone() }.command(table)
    }

    /// The same with other columns left out.
    pub(crate) fn command_for_exclusion(&self, table: &str) -> String {
        Self { selection: Selection::Exclude(unknown_columns()), ..self.clone() }.command(table)
    }

    /// The same with another condition.
    pub(crate) fn command_for_condition(&self, table: &str) -> String {
        Self { condition: Some("CONDITION".to_owned()), ..self.clone() }.command(table)
    }
}

fn unknown_columns() -> Vec<String> {
    vec!["COLUMN".to_owned(), "..".to_owned()]
}

/// As a shell reads it.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_.,:-/@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_core::Timestamp;

    use super::*;

    #[test]
    fn a_command_names_all_options() {
        let plain = Capture {
            table: "t".into(),
            entity_type: "Order".into(),
            key: vec!["id".into()],
            columns: vec!["id".into(), "n".into()],
            selection: Selection::All,
            condition: None,
            change_log: None,
            notify: true,
            created_at: Timestamp::from_micros(0),
        };
        assert_eq!(plain.command("shop.u"), "aftercommit capture add shop.u --entity Order --key id");
        let chosen = Capture {
            key: vec!["a b".into(), "c".into()],
            selection: Selection::Exclude(vec!["password".into(), "note".into()]),
            condition: Some("status <> 'draft'".into()),
            notify: false,
            ..plain.clone()
        };
        assert_eq!(
            chosen.command("u"),
            r"aftercommit capture add u --entity Order --key 'a b,c' --exclude password,note --when 'status <> '\''draft'\''' --no-notify"
        );
        let only = Capture { selection: Selection::Only(vec!["n".into()]), ..plain };
        assert_eq!(
            only.command_for_key("t"),
            "aftercommit capture add t --entity Order --key COLUMN,.. --only n"
        );
        assert_eq!(
            only.command_for_condition("$t"),
            "aftercommit capture add '$t' --entity Order --key id --only n --when CONDITION"
        );
    }
}
