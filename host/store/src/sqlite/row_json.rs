//! SQL expressions that turn a row into its image inside a trigger.
//!
//! They run in the application's transaction, on whatever SQLite (3.38 or later) the application brings, and must never
//! fail. With `PRAGMA trusted_schema = OFF` a trigger may call only functions that SQLite marks as innocuous, which those for JSON are
//! not in all versions: so an image is the text of SQL literals, and becomes JSON when it is read. Each connection parses
//! these texts when it opens, and each statement on the table compiles them: they are as short as they can be.

use super::image;

/// The most bytes that all values of a row have: beyond that the image could be too long for SQLite, which would fail the
/// application's statement. Such a row has no image.
pub(super) const MAX_IMAGE_BYTES: u32 = 16 << 20;

/// The most values whose literals are joined before their bytes are known: if each has as many bytes as all may have, and
/// twice as many in its literal, the text still is shorter than SQLite's limit of a thousand million bytes.
const VALUES_AT_ONCE: usize = 28;

/// A column of a captured table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// As declared, in capitals; may be empty.
    pub(super) declared: String,
}

impl Column {
    fn is_declared(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.declared.contains(word))
    }

    /// Whether `observer_image` can make a key of its value as it is, and not only of its text: reals are rare in it.
    pub(super) fn is_plain_key(&self) -> bool {
        self.is_declared(&["INT", "CHAR", "CLOB", "TEXT"])
    }

    /// Its value as a part of the key.
    fn key_part(&self, x: &str) -> String {
        let real = if self.is_declared(&["INT"]) {
            // The short expression can have more digits than it takes.
            format!(" WHEN 'real' THEN printf('%!.17g',{x})")
        } else if self.is_plain_key() {
            // Never here: it is made a text.
            String::new()
        } else {
            format!(" WHEN 'real' THEN {}", digits(x))
        };
        format!("CASE typeof({x}){real} WHEN 'blob' THEN hex({x}) ELSE CAST({x} AS TEXT) END")
    }

    /// Its name and its mark, as an image begins with them.
    fn heading(&self) -> String {
        format!("{}{}", serde_json::Value::from(self.name.as_str()), self.mark())
    }

    /// What its declared type makes of a value.
    fn mark(&self) -> char {
        if matches!(self.declared.as_str(), "JSON" | "JSONB") {
            image::JSON
        } else if self.declared.starts_with("BOOL") {
            image::BOOLEAN
        } else {
            image::PLAIN
        }
    }
}

/// An identifier, quoted.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What the images of a row with these columns begin with: see [`image`](super::image).
pub(super) fn heading(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(Column::heading).collect();
    format!("{}{}{}", image::START, names.concat(), image::VALUES)
}

/// The row as an image that [`image`](super::image) reads, null if it is too large. `heading` and `values` are the expressions of what
/// it begins with and of its values.
///
/// It goes through the values in a loop, so that the expression of a literal is parsed and compiled once. The plus gives the column of
/// `VALUES` its name `column1`. Numbers are less than any text, and texts less than any blob. `quote` ends at a NUL.
pub(super) fn image(heading: &str, values: &[String]) -> String {
    let rows = format!("(VALUES(+{}))", values.join("),("));
    let bytes = "total(length(CAST(column1 AS BLOB)))FILTER(WHERE column1>='')";
    let text = format!(
        "{heading}||group_concat(CASE WHEN column1<'' THEN quote(column1) \
         WHEN column1 IS NULL OR length(CAST(column1 AS BLOB))>{MAX_IMAGE_BYTES} THEN '' \
         WHEN column1<x'' AND instr(column1,char(0)) THEN 'Ttext'||hex(column1) ELSE quote(column1) END,',')"
    );
    if values.len() <= VALUES_AT_ONCE {
        format!("(SELECT iif({bytes}<={MAX_IMAGE_BYTES},{text},NULL) FROM {rows})")
    } else {
        format!(
            "CASE WHEN (SELECT {bytes} FROM {rows})<={MAX_IMAGE_BYTES} THEN (SELECT {text} FROM {rows}) END"
        )
    }
}

/// The fewest digits of 15, 17 and 19 that read back the same. 17 would always do, were it not for SQLite's own
/// conversions, which can be off in the last of them for numbers beyond 1e±70.
fn digits(x: &str) -> String {
    let text = |digits: u32| format!("printf('%!.{digits}g',{x})");
    let exact = |digits: u32| format!("CAST({} AS REAL)={x}", text(digits));
    format!(
        "CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END",
        exact(15),
        text(15),
        exact(17),
        text(17),
        text(19)
    )
}

/// The key of a row as text, of its columns and the expressions of their values; null when a part of it is null. The parts of a
/// composite key are joined by `:`.
pub(super) fn key(columns: &[(&Column, &str)]) -> String {
    match columns {
        [(column, x)] => column.key_part(x),
        parts => {
            let escaped = |(column, x): &(&Column, &str)| {
                format!("replace(replace({},'\\','\\\\'),':','\\:')", column.key_part(x))
            };
            parts.iter().map(escaped).collect::<Vec<_>>().join("||':'||")
        }
    }
}

/// Whether any of the columns differs between the two images, as values are stored. Only where the table has collations are they
/// overruled: NOCASE would take `a` and `A` for the same.
pub(super) fn differs(names: &[&str], has_collations: bool) -> String {
    let side = |row: &str| {
        let columns: Vec<_> = names
            .iter()
            .map(|name| {
                let collation = if has_collations { " COLLATE BINARY" } else { "" };
                format!("{row}.{}{collation}", identifier(name))
            })
            .collect();
        columns.join(",")
    };
    format!("({}) IS NOT ({})", side("OLD"), side("NEW"))
}
