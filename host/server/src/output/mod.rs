//! What commands print: JSON for machines, tables for people, both of the same rows.
//!
//! Rows are serialised once; a table shows some of the keys that the JSON has, under the same names.

mod table;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::{Map, Value};

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

    /// Prints a list: one JSON array of objects, or a table of `columns`.
    pub fn list<T: Serialize>(self, rows: &[T], columns: &[&str]) -> io::Result<()> {
        let rows: Vec<Value> = rows.iter().map(to_value).collect::<io::Result<_>>()?;
        match self.format {
            Format::Json => self.json(&Value::Array(rows)),
            Format::Table => print(&table::list(&rows, columns, self.terminal)),
        }
    }

    /// Prints one thing: one JSON object, or its keys line by line.
    pub fn show<T: Serialize>(self, item: &T) -> io::Result<()> {
        let item = to_value(item)?;
        match self.format {
            Format::Json => self.json(&item),
            Format::Table => print(&table::show(&item, self.terminal)),
        }
    }

    /// Prints what a command did: `text` for people, `item` for machines.
    pub fn done<T: Serialize>(self, item: &T, text: &str) -> io::Result<()> {
        match self.format {
            Format::Json => self.json(&to_value(item)?),
            Format::Table => print(text),
        }
    }

    /// Whether results are for machines.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    fn json(self, value: &Value) -> io::Result<()> {
        let text =
            if self.terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        print(&text.map_err(io::Error::from)?)
    }
}

/// Prints a text and ends its line. A reader that went away is no error of ours.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let text = text.trim_end_matches('\n');
    let printed =
        if text.is_empty() { Ok(()) } else { writeln!(stdout, "{text}").and_then(|()| stdout.flush()) };
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
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
