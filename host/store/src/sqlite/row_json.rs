//! SQL expressions that turn a row into JSON inside a trigger.
//!
//! They run in the application's transaction, on whatever SQLite (3.38 or later) the application brings, and must
//! never fail: `json_object` refuses blobs and spoils reals, so these are converted first, and it takes at most 100 arguments,
//! so wide rows are joined from several objects. Each connection parses these texts when it opens: they are as short as they can be.

/// The most characters (of blobs: bytes) that all values of a row have: beyond that the image could be too long for SQLite, which
/// would fail the application's statement. Such a row has no image.
pub(super) const MAX_IMAGE_CHARS: u32 = 16 << 20;

/// Expressions nest at most 1000 deep; pieces of so many are joined in pairs.
const PIECES_IN_A_ROW: usize = 8;

/// Columns of one `json_object`: a function takes at least 100 arguments in every build of SQLite.
const COLUMNS_IN_AN_OBJECT: usize = 50;

/// A column of a captured table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// As declared, in capitals; may be empty.
    pub(super) declared: String,
}

impl Column {
    fn is_json(&self) -> bool {
        matches!(self.declared.as_str(), "JSON" | "JSONB")
    }

    fn is_boolean(&self) -> bool {
        self.declared.starts_with("BOOL")
    }
}

/// Which values a column converts on their way in (<https://www.sqlite.org/datatype3.html>, section 3.1).
enum Affinity {
    Integer,
    Text,
    /// Blob, real and numeric: reals are common here.
    Other,
}

fn affinity(declared: &str) -> Affinity {
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if has(&["INT"]) {
        Affinity::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else {
        Affinity::Other
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

/// The row as the text of a JSON object, null if it is too large. `values` are the expressions of its values.
pub(super) fn object(columns: &[Column], values: &[String]) -> String {
    let lengths: Vec<_> = values.iter().map(|x| format!("ifnull(length({x}),0)")).collect();
    let mut pairs: Vec<_> = columns.iter().zip(values).collect();
    let mut pieces = Vec::new();
    while !pairs.is_empty() {
        let mut end = pairs.len().min(COLUMNS_IN_AN_OBJECT);
        let is_last = end == pairs.len();
        // The brace that is cut off must not be one of a JSON value.
        if !is_last && let Some(plain) = pairs[..end].iter().rposition(|(column, _)| !column.is_json()) {
            end = plain + 1;
        }
        let part: Vec<_> = pairs.drain(..end).collect();
        let closes_plainly = part.last().is_some_and(|(column, _)| !column.is_json());
        let arguments: Vec<_> = part
            .iter()
            .map(|(column, x)| format!("{},{}", literal(&column.name), value(x, column)))
            .collect();
        let mut piece = format!("json_object({})", arguments.join(","));
        if !is_last {
            piece = if closes_plainly {
                format!("rtrim({piece},'}}')")
            } else {
                format!("substr({piece},1,length({piece})-1)")
            };
        }
        if !pieces.is_empty() {
            piece = format!("','||substr({piece},2)");
        }
        pieces.push(piece);
    }
    format!("CASE WHEN {}<={MAX_IMAGE_CHARS} THEN {} END", joined(&lengths, "+"), joined(&pieces, "||"))
}

/// Joins expressions without nesting them deeply.
fn joined(pieces: &[String], operator: &str) -> String {
    if pieces.len() <= PIECES_IN_A_ROW {
        return pieces.join(operator);
    }
    let (left, right) = pieces.split_at(pieces.len() / 2);
    format!("({}){operator}({})", joined(left, operator), joined(right, operator))
}

/// One value as an argument of `json_object`.
fn value(x: &str, column: &Column) -> String {
    let real = |digits: &str| {
        format!(
            "CASE typeof({x}) WHEN 'blob' THEN hex({x}) WHEN 'real' THEN json(iif(abs({x})<9e999,{digits},'null')) \
             ELSE {x} END"
        )
    };
    let plain = match affinity(&column.declared) {
        Affinity::Text => format!("iif(typeof({x})='blob',hex({x}),{x})"),
        // A real is rare here: the short expression has more digits than it takes.
        Affinity::Integer => real(&format!("quote({x})")),
        Affinity::Other => real(&digits(x)),
    };
    if column.is_boolean() {
        format!("CASE {x} WHEN 0 THEN json('false') WHEN 1 THEN json('true') ELSE {plain} END")
    } else if column.is_json() {
        format!("CASE WHEN typeof({x})='text' AND json_valid({x}) THEN json({x}) ELSE {plain} END")
    } else {
        plain
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

/// The key of a row as text; null when a part of it is null. The parts of a composite key are joined by `:`.
pub(super) fn key(values: &[String]) -> String {
    let part = |x: &String| {
        format!(
            "CASE typeof({x}) WHEN 'real' THEN {} WHEN 'blob' THEN hex({x}) ELSE CAST({x} AS TEXT) END",
            digits(x)
        )
    };
    match values {
        [one] => part(one),
        parts => {
            let escaped = |x| format!("replace(replace({},'\\','\\\\'),':','\\:')", part(x));
            parts.iter().map(escaped).collect::<Vec<_>>().join("||':'||")
        }
    }
}

/// Whether any of the columns differs between the two images, as values are stored. Only where the table has collations are they
/// overruled: NOCASE would take `a` and `A` for the same.
pub(super) fn differs<'a>(names: impl IntoIterator<Item = &'a str> + Clone, has_collations: bool) -> String {
    let side = |row: &str| {
        let columns: Vec<_> = names
            .clone()
            .into_iter()
            .map(|name| {
                let collation = if has_collations { " COLLATE BINARY" } else { "" };
                format!("{row}.{}{collation}", identifier(name))
            })
            .collect();
        columns.join(",")
    };
    format!("({}) IS NOT ({})", side("OLD"), side("NEW"))
}
