//! Commands that messages suggest, beside that of `capture_command`. Names of tables are anybody's: each is one word for the shell it is copied into.

use aftercommit_core::shell_command;

/// Ends the capture of a table.
pub(crate) fn remove(table: &str) -> String {
    shell_command("capture remove", table, "")
}

/// Writes the triggers of a table again.
pub(crate) fn refresh(table: &str) -> String {
    shell_command("capture refresh", table, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        assert_eq!(remove("orders; reboot"), "aftercommit capture remove 'orders; reboot'");
        assert_eq!(refresh("-a"), "aftercommit capture refresh -- -a");
    }
}
