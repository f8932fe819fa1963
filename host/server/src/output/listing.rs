//! A list as it is printed. It is collected first: only then are the widths of columns known, the database does not wait for a pager,
//! and an error in the middle leaves no half of a list.

use std::io::{self, Write};

use aftercommit_core::plain::plain_json;
use serde::Serialize;
use serde_json::Value;

use super::{Format, Output, print_with, spool::Spool, table, to_value, write_plain};

/// A list that is being collected.
pub struct Listing<'c> {
    output: Output,
    columns: &'c [&'c str],
    widths: table::Widths,
    spool: Spool,
}

impl<'c> Listing<'c> {
    pub(super) fn new(output: Output, columns: &'c [&'c str]) -> Self {
        let widths = table::Widths::of(&table::heads(columns));
        Self { output, columns, widths, spool: Spool::new() }
    }

    /// Adds a row, which is an object.
    pub fn add<T: Serialize>(&mut self, row: &T) -> io::Result<()> {
        let row = to_value(row)?;
        let line = match self.output.format {
            Format::Json => serde_json::to_string(&row)?,
            Format::Table => {
                let cells = table::cells(&row, self.columns, self.output.terminal);
                self.widths.fit(&cells);
                serde_json::to_string(&cells)?
            }
        };
        self.spool.add(&line)
    }

    /// Prints it: one JSON array of objects, or a table.
    pub fn print(self) -> io::Result<()> {
        print_with(|out| self.write(out))
    }

    pub(super) fn write(self, out: &mut dyn Write) -> io::Result<()> {
        let Self { output, columns, widths, spool } = self;
        if output.is_json() {
            return write_array(out, spool, output.terminal);
        }
        let mut write_line = |cells: &[String]| write_plain(out, &(widths.line(cells) + "\n"));
        write_line(&table::heads(columns))?;
        for line in spool.lines()? {
            write_line(&serde_json::from_str::<Vec<String>>(&line?)?)?;
        }
        Ok(())
    }
}

/// On a terminal each row begins a line, and so does each key.
fn write_array(out: &mut dyn Write, spool: Spool, pretty: bool) -> io::Result<()> {
    let (open, between, close) = if pretty { ("[\n  ", ",\n  ", "\n]\n") } else { ("[", ",", "]\n") };
    let mut is_empty = true;
    for line in spool.lines()? {
        let mut line = line?;
        if pretty {
            let row: Value = serde_json::from_str(&line)?;
            line = serde_json::to_string_pretty(&row)?.replace('\n', "\n  ");
        }
        write_plain(out, if is_empty { open } else { between })?;
        write_plain(out, &plain_json(&line))?;
        is_empty = false;
    }
    write_plain(out, if is_empty { "[]\n" } else { close })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(format: Format, terminal: bool, rows: &[Value]) -> String {
        let mut listing = Output { format, terminal }.listing(&["id", "n"]);
        rows.iter().for_each(|row| listing.add(row).unwrap());
        let mut written = Vec::new();
        listing.write(&mut written).unwrap();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_list_is_one_json_array_however_long() {
        // More than stays in memory.
        let rows: Vec<Value> = (0..30_000).map(|n| json!({"id": format!("row\n{n}"), "n": [n]})).collect();
        for terminal in [false, true] {
            let written = written(Format::Json, terminal, &rows);
            assert!(written.len() > 1 << 20, "{}", written.len());
            assert_eq!(serde_json::from_str::<Vec<Value>>(&written).unwrap(), rows);
        }
        assert_eq!(
            written(Format::Json, false, &rows[..2]),
            "[{\"id\":\"row\\n0\",\"n\":[0]},{\"id\":\"row\\n1\",\"n\":[1]}]\n"
        );
        assert_eq!(written(Format::Json, true, &[json!({"id": 1})]), "[\n  {\n    \"id\": 1\n  }\n]\n");
        assert_eq!(written(Format::Json, true, &[]), "[]\n");
    }

    #[test]
    fn columns_of_a_table_are_as_wide_as_the_widest_of_all_rows() {
        let rows = [json!({"id": "a", "n": 1}), json!({"id": "b\nc", "n": null})];
        assert_eq!(written(Format::Table, false, &rows), "ID   N\na    1\nb c  -\n");
        assert_eq!(written(Format::Table, false, &[]), "ID  N\n");
    }
}
