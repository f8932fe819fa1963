//! A list that is printed page by page, so that it may be longer than memory.

use std::io::{self, Write};

use aftercommit_core::plain::plain_json;
use serde::Serialize;

use super::{Format, Output, print_with, table, to_value, write_plain};

/// How rows look to people.
#[derive(Clone, Copy, Debug)]
enum Shape<'c> {
    /// A table of some keys.
    Table(&'c [&'c str]),
    /// One key a line, without a head.
    Lines(&'c str),
}

/// A table waits for so many rows, or for its end, before it is begun: its columns are as wide as these need. What is wider later on moves
/// the cells behind it.
const MEASURED_ROWS: usize = 500;

/// It waits for no more bytes than these.
const MEASURED_BYTES: usize = 1 << 20;

/// A list that is being printed.
///
/// A list that fails in the middle is not ended: its JSON can not be taken for a whole one.
pub struct Listing<'c> {
    output: Output,
    shape: Shape<'c>,
    widths: Option<table::Widths>,
    /// Lines of a table that was not begun.
    waiting: Vec<Vec<String>>,
    is_empty: bool,
    has_reader: bool,
}

impl<'c> Listing<'c> {
    pub(super) const fn table(output: Output, columns: &'c [&'c str]) -> Self {
        Self::new(output, Shape::Table(columns))
    }

    pub(super) const fn lines(output: Output, key: &'c str) -> Self {
        Self::new(output, Shape::Lines(key))
    }

    const fn new(output: Output, shape: Shape<'c>) -> Self {
        Self { output, shape, widths: None, waiting: Vec::new(), is_empty: true, has_reader: true }
    }

    /// Prints some rows, which are objects.
    pub fn add<T: Serialize>(&mut self, rows: &[T]) -> io::Result<()> {
        self.print(|listing, out| listing.write(out, rows))
    }

    /// Ends the list.
    pub fn end(mut self) -> io::Result<()> {
        self.print(Self::write_end)
    }

    /// Whether anybody still reads it.
    #[must_use]
    pub const fn has_reader(&self) -> bool {
        self.has_reader
    }

    fn print(&mut self, write: impl FnOnce(&mut Self, &mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        if self.has_reader {
            self.has_reader = print_with(|out| write(self, out))?;
        }
        Ok(())
    }

    pub(super) fn write<T: Serialize>(&mut self, out: &mut dyn Write, rows: &[T]) -> io::Result<()> {
        match (self.output.format, self.shape) {
            (Format::Json, _) => rows.iter().try_for_each(|row| self.write_element(out, row)),
            (Format::Table, Shape::Table(columns)) => self.write_table(out, rows, columns),
            (Format::Table, Shape::Lines(key)) => rows.iter().try_for_each(|row| {
                let cells = table::cells(&to_value(row)?, &[key], false);
                write_plain(out, &(cells.concat() + "\n"))
            }),
        }
    }

    pub(super) fn write_end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match (self.output.format, self.shape) {
            (Format::Json, _) if self.is_empty => write_plain(out, "[]\n"),
            (Format::Json, _) => write_plain(out, if self.output.terminal { "\n]\n" } else { "]\n" }),
            (Format::Table, Shape::Table(columns)) if self.widths.is_none() => self.begin_table(out, columns),
            (Format::Table, _) => Ok(()),
        }
    }

    fn write_table<T: Serialize>(
        &mut self,
        out: &mut dyn Write,
        rows: &[T],
        columns: &[&str],
    ) -> io::Result<()> {
        let cells = |row: &T| Ok(table::cells(&to_value(row)?, columns, self.output.terminal));
        let lines = rows.iter().map(cells).collect::<io::Result<Vec<_>>>()?;
        if let Some(widths) = &self.widths {
            return write_lines(out, widths, &lines);
        }
        self.waiting.extend(lines);
        let bytes: usize = self.waiting.iter().flatten().map(String::len).sum();
        if self.waiting.len() >= MEASURED_ROWS || bytes >= MEASURED_BYTES {
            self.begin_table(out, columns)?;
        }
        Ok(())
    }

    /// Prints the head, which a table without rows has too, and the lines that waited.
    fn begin_table(&mut self, out: &mut dyn Write, columns: &[&str]) -> io::Result<()> {
        let mut lines = vec![table::heads(columns)];
        lines.append(&mut self.waiting);
        let widths = self.widths.insert(table::Widths::of(&lines));
        write_lines(out, widths, &lines)
    }

    /// On a terminal each row begins a line, and so does each key.
    fn write_element<T: Serialize>(&mut self, out: &mut dyn Write, row: &T) -> io::Result<()> {
        let (open, between) = if self.output.terminal { ("[\n  ", ",\n  ") } else { ("[", ",") };
        let text = if self.output.terminal {
            serde_json::to_string_pretty(row)?.replace('\n', "\n  ")
        } else {
            serde_json::to_string(row)?
        };
        write_plain(out, if self.is_empty { open } else { between })?;
        write_plain(out, &plain_json(&text))?;
        self.is_empty = false;
        Ok(())
    }
}

fn write_lines(out: &mut dyn Write, widths: &table::Widths, lines: &[Vec<String>]) -> io::Result<()> {
    lines.iter().try_for_each(|cells| write_plain(out, &(widths.line(cells) + "\n")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const COLUMNS: [&str; 2] = ["id", "n"];

    fn written(format: Format, terminal: bool, pages: &[&[Value]]) -> String {
        let mut listing = Listing::table(Output { format, terminal }, &COLUMNS);
        let mut written = Vec::new();
        for rows in pages {
            listing.write(&mut written, rows).unwrap();
        }
        listing.write_end(&mut written).unwrap();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_list_is_one_json_array_however_many_pages_it_has() {
        let rows: Vec<Value> =
            (0..50).map(|n| json!({"id": format!("row\n{n}"), "n": [n, {"a": []}]})).collect();
        for terminal in [false, true] {
            for size in [1, 7, 100] {
                let pages: Vec<&[Value]> = rows.chunks(size).collect();
                let whole =
                    if terminal { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) };
                assert_eq!(written(Format::Json, terminal, &pages), whole.unwrap() + "\n");
            }
            assert_eq!(written(Format::Json, terminal, &[]), "[]\n");
            assert_eq!(written(Format::Json, terminal, &[&[], &[]]), "[]\n");
        }
    }

    #[test]
    fn a_short_table_is_measured_as_a_whole_however_many_pages_it_has() {
        let rows = [json!({"id": "abc", "n": 1}), json!({"id": "x", "n": 2}), json!({"id": "abcdef"})];
        for pages in [&[&rows[..]][..], &[&[], &rows[..1], &[], &rows[1..]]] {
            assert_eq!(written(Format::Table, false, pages), "ID      N\nabc     1\nx       2\nabcdef  -\n");
        }
        assert_eq!(written(Format::Table, false, &[]), "ID  N\n");
        assert_eq!(written(Format::Table, false, &[&[], &[]]), "ID  N\n");
    }

    #[test]
    fn a_long_table_has_the_widths_of_its_first_rows() {
        let first = vec![json!({"id": "abc", "n": 1}); MEASURED_ROWS];
        let later = [json!({"id": "x", "n": 2}), json!({"id": "abcdef", "n": 3})];
        let written = written(Format::Table, false, &[&first, &later]);
        assert!(written.starts_with("ID   N\nabc  1\n") && written.ends_with("abc  1\nx    2\nabcdef  3\n"));
        let large = [json!({"id": "a".repeat(MEASURED_BYTES)})];
        let mut listing = Listing::table(Output { format: Format::Table, terminal: false }, &COLUMNS);
        let mut written = Vec::new();
        listing.write(&mut written, &large).unwrap();
        assert!(written.len() > MEASURED_BYTES, "it waits for no more");
    }

    #[test]
    fn lines_have_no_head() {
        let mut listing = Listing::lines(Output { format: Format::Table, terminal: true }, "id");
        let mut written = Vec::new();
        listing.write(&mut written, &[json!({"id": "a"}), json!({"id": 7})]).unwrap();
        listing.write_end(&mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "a\n7\n");
    }
}
