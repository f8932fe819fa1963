//! What commands print: JSON for machines, tables for people, both of the same rows.
//!
//! Rows are serialised once; a table shows some of the keys that the JSON has, under the same names. Whatever a row holds, nothing is printed
//! that a terminal would obey: see [`plain`].

mod listing;
mod table;

use std::io::{self, IsTerminal as _, Write};

use aftercommit_core::plain::{plain, plain_json};
use serde::Serialize;
use serde_json::{Map, Value};

pub use listing::Listing;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// JSON for machines.
    Json,
}

/// Prints results on standard output.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    terminal: bool,
}

impl Output {
    /// Prints in `format`; shortens long texts only where a person reads along.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, terminal: io::stdout().is_terminal() }
    }

    /// A list that comes page by page: one JSON array of objects, or a table of `columns`.
    #[must_use]
    pub const fn listing<'c>(self, columns: &'c [&'c str]) -> Listing<'c> {
        Listing::table(self, columns)
    }

    /// The same for people as one key of each row, line by line.
    #[must_use]
    pub const fn lines(self, key: &str) -> Listing<'_> {
        Listing::lines(self, key)
    }

    /// Prints a list that is known to be short.
    pub fn list<T: Serialize>(self, rows: &[T], columns: &[&str]) -> io::Result<()> {
        let mut listing = self.listing(columns);
        listing.add(rows)?;
        listing.end()
    }

    /// Prints one thing: one JSON object, or its keys line by line.
    pub fn show<T: Serialize>(self, item: &T) -> io::Result<()> {
        print(&self.show_text(item)?)
    }

    /// Prints what a command did: `text` for people, `item` for machines.
    pub fn done<T: Serialize>(self, item: &T, text: &str) -> io::Result<()> {
        print(&self.done_text(item, text)?)
    }

    /// Whether results are for machines.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    fn show_text<T: Serialize>(self, item: &T) -> io::Result<String> {
        let item = to_value(item)?;
        match self.format {
            Format::Json => self.json(&item),
            Format::Table => Ok(table::show(&item, self.terminal)),
        }
    }

    fn done_text<T: Serialize>(self, item: &T, text: &str) -> io::Result<String> {
        match self.format {
            Format::Json => self.json(&to_value(item)?),
            Format::Table => Ok(text.to_owned()),
        }
    }

    fn json(self, value: &Value) -> io::Result<String> {
        let text =
            if self.terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        Ok(plain_json(&text.map_err(io::Error::from)?).into_owned())
    }
}

/// Prints a text and ends its line. A reader that went away is no error of ours.
pub fn print(text: &str) -> io::Result<()> {
    print_with(|out| write_text(out, text)).map(|_| ())
}

/// Prints what is written; whether anybody still reads.
fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<bool> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is left in the buffer would be written once more when it is dropped.
            let _ = out.into_parts();
            Ok(false)
        }
        printed => printed.map(|()| true),
    }
}

fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    match text.trim_end_matches('\n') {
        "" => Ok(()),
        text => write_plain(out, text).and_then(|()| write_plain(out, "\n")),
    }
}

/// Every text on standard output comes through here.
fn write_plain(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(plain(text).as_bytes())
}

/// Prints a remark on standard error: progress, a warning.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(text));
}

/// One object of two: the keys of `more` after those of `item`.
pub fn joined(
    item: &impl Serialize,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> io::Result<Value> {
    let mut map = match to_value(item)? {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    map.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    Ok(Value::Object(map))
}

/// Anything as JSON.
pub fn to_value(item: &impl Serialize) -> io::Result<Value> {
    serde_json::to_value(item).map_err(io::Error::from)
}

/// Whether messages on standard error may have colour.
#[must_use]
pub fn color_on_stderr() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !no_color
}

#[cfg(test)]
mod tests {
    use aftercommit_core::plain::is_obeyed;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_row_holds_no_output_has_what_a_terminal_obeys(text in any::<String>()) {
            let row = json!({"id": text, (text.as_str()): text, "list": [text, {"a": text}], "nested": {"a": [text]}});
            for (format, terminal) in
                [(Format::Table, false), (Format::Table, true), (Format::Json, false), (Format::Json, true)]
            {
                let output = Output { format, terminal };
                let columns = ["id", text.as_str(), "list", "nested"];
                let (mut list, mut listing) = (Vec::new(), output.listing(&columns));
                listing.write(&mut list, &[&row]).unwrap();
                listing.write_end(&mut list).unwrap();
                let texts = [output.show_text(&row).unwrap(), output.done_text(&row, &text).unwrap()].map(|shown| {
                    let mut written = Vec::new();
                    write_text(&mut written, &shown).unwrap();
                    written
                });
                for written in texts.into_iter().chain([list]) {
                    let written = String::from_utf8(written).unwrap();
                    prop_assert!(!written.chars().any(is_obeyed), "{:?}", written);
                    if format == Format::Json {
                        let read: Value = serde_json::from_str(&written).unwrap();
                        prop_assert!(read == row || read == json!([row]), "nothing is lost: {}", read);
                    }
                }
            }
        }
    }
}
