//! SQL expressions that turn a row into its image inside a trigger.
//!
//! They run in the application's transaction, on whatever SQLite (3.38 or later) the application brings, and must never
//! fail. With `PRAGMA trusted_schema = OFF` a trigger may call only functions that SQLite marks as innocuous, which those for JSON are
//! not in all versions: so an image is the text of SQL literals, and becomes JSON when it is read. Each connection parses
//! these texts when it opens: they are as short as they can be.

use super::image;

/// The most bytes that all values of a row have: beyond that the image could be too long for SQLite, which would fail the
/// application's statement. Such a row has no image.
pub(super) const MAX_IMAGE_BYTES: u32 = 16 << 20;

/// Expressions nest at most 1000 deep; pieces of so many are joined in pairs.
const PIECES_IN_A_ROW: usize = 8;

/// Columns of one `printf`: a function takes at least 100 arguments in every build of SQLite.
const COLUMNS_IN_A_CALL: usize = 99;

/// A column of a captured table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// As declared, in capitals; may be empty.
    pub(super) declared: String,
}

impl Column {
    /// Whether it makes numbers of texts that are some (<https://www.sqlite.org/datatype3.html>, section 3.1): no text in it is
    /// expected to hold a NUL. One that does ends there.
    fn is_numeric(&self) -> bool {
        let has = |words: &[&str]| words.iter().any(|word| self.declared.contains(word));
        has(&["INT"])
            || !(self.declared.is_empty()
                || has(&["CHAR", "CLOB", "TEXT", "BLOB", "JSON"])
                || self.declared == "ANY")
    }

    /// The bytes of its value in the image, about.
    fn length(&self, x: &str) -> String {
        if self.is_numeric() {
            format!("ifnull(length({x}),0)")
        } else {
            format!("ifnull(length(CAST({x} AS BLOB)),0)")
        }
    }

    /// The literal of its value. `quote` ends at a NUL.
    fn literal(&self, x: &str) -> String {
        if self.is_numeric() {
            format!("quote({x})")
        } else {
            format!("iif(instr({x},x'00'),'T'||typeof({x})||hex({x}),quote({x}))")
        }
    }

    /// Its value as a part of the key.
    fn key_part(&self, x: &str) -> String {
        let has = |words: &[&str]| words.iter().any(|word| self.declared.contains(word));
        let real = if has(&["INT"]) {
            // Rare here: the short expression can have more digits than it takes.
            format!(" WHEN 'real' THEN printf('%!.17g',{x})")
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            // Never here: it is made a text.
            String::new()
        } else {
            format!(" WHEN 'real' THEN {}", digits(x))
        };
        format!("CASE typeof({x}){real} WHEN 'blob' THEN hex({x}) ELSE CAST({x} AS TEXT) END")
    }

    /// Its part of the format for `printf`.
    fn directive(&self) -> String {
        let name = serde_json::Value::from(self.name.as_str()).to_string().replace('%', "%%");
        format!("{name}{}%s", self.mark())
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

/// The row as an image that [`image`](super::image) reads, null if it is too large. `values` are the expressions of its values.
pub(super) fn object(columns: &[Column], values: &[String]) -> String {
    let lengths: Vec<_> = columns.iter().zip(values).map(|(column, x)| column.length(x)).collect();
    let pairs: Vec<_> = columns.iter().zip(values).collect();
    let pieces: Vec<_> = pairs
        .chunks(COLUMNS_IN_A_CALL)
        .enumerate()
        .map(|(n, part)| {
            let start = if n == 0 { "#" } else { "" };
            let names: Vec<_> = part.iter().map(|(column, _)| column.directive()).collect();
            let literals: Vec<_> = part.iter().map(|(column, x)| column.literal(x)).collect();
            format!("printf({},{})", literal(&format!("{start}{}", names.concat())), literals.join(","))
        })
        .collect();
    format!("CASE WHEN {}<={MAX_IMAGE_BYTES} THEN {} END", joined(&lengths, "+"), joined(&pieces, "||"))
}

/// Joins expressions without nesting them deeply.
fn joined(pieces: &[String], operator: &str) -> String {
    if pieces.len() <= PIECES_IN_A_ROW {
        return pieces.join(operator);
    }
    let (left, right) = pieces.split_at(pieces.len() / 2);
    format!("({}){operator}({})", joined(left, operator), joined(right, operator))
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
