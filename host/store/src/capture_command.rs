//! The command that makes a capture again: it names all options, since `capture add` replaces those that it does not name.

use aftercommit_core::{shell_command, shell_option};

use crate::{Capture, Selection};

impl Capture {
    /// The command that captures this table in the same way.
    pub(crate) fn command(&self, table: &str) -> String {
        let mut options = vec![shell_option("--entity", &self.entity_type)];
        if !self.key.is_empty() {
            options.push(shell_option("--key", &self.key.join(",")));
        }
        match &self.selection {
            Selection::All => {}
            Selection::Only(names) => options.push(shell_option("--only", &names.join(","))),
            Selection::Exclude(names) => options.push(shell_option("--exclude", &names.join(","))),
        }
        if let Some(condition) = &self.condition {
            options.push(shell_option("--when", condition));
        }
        if !self.notify {
            options.push("--no-notify".to_owned());
        }
        shell_command("capture add", table, &options.join(" "))
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
        let odd = Capture { entity_type: "O'Order".into(), ..only };
        assert_eq!(
            odd.command("my orders"),
            r"aftercommit capture add 'my orders' --entity 'O'\''Order' --key id --only n"
        );
    }
}
