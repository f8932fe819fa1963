//! SQL expressions that turn a row into JSON inside a trigger.
//!
//! They run in the application's transaction, on whatever SQLite (3.38 or later) the application brings, and must
//! never fail: `json_object` would refuse a blob and is limited in its arguments, so the object is put together as
//! text. A text or a blob that is too long is null: with it, the image might be too long for SQLite. Values keep what they are: integers all 64 bits, reals as many digits as it takes to read back the same.

use aftercommit_condition::sql::{MAX_BLOB_BYTES, MAX_TEXT_CHARS};

/// Expressions nest at most 1000 deep; pieces of so many are joined in pairs.
const PIECES_IN_A_ROW: usize = 8;

/// A column of a captured table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// As declared, in capitals; may be empty.
    pub(super) declared: String,
}

/// An identifier, quoted.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The row that `row` names (`NEW` or `OLD`) as the text of a JSON object.
pub(super) fn object(row: &str, columns: &[Column]) -> String {
    let mut pieces = Vec::with_capacity(columns.len() + 1);
    let mut before = "{";
    for column in columns {
        let name = serde_json::Value::from(column.name.as_str());
        pieces.push(literal(&format!("{before}{name}:")));
        pieces.push(value(row, column));
        before = ",";
    }
    pieces.push(literal("}"));
    concatenation(&pieces)
}

fn concatenation(pieces: &[String]) -> String {
    if pieces.len() <= PIECES_IN_A_ROW {
        return pieces.join(" || ");
    }
    let (left, right) = pieces.split_at(pieces.len() / 2);
    format!("({}) || ({})", concatenation(left), concatenation(right))
}

/// One value as the text of a JSON value.
fn value(row: &str, column: &Column) -> String {
    let x = format!("{row}.{}", identifier(&column.name));
    let plain = format!(
        "CASE typeof({x}) WHEN 'text' THEN iif(length({x}) <= {MAX_TEXT_CHARS}, json_quote({x}), 'null') \
         WHEN 'real' THEN {} \
         WHEN 'blob' THEN iif(length({x}) <= {MAX_BLOB_BYTES}, '\"' || hex({x}) || '\"', 'null') \
         ELSE coalesce({x}, 'null') END",
        real(&x)
    );
    if column.declared.starts_with("BOOL") {
        // The plus keeps a text such as '1' from being compared as a number.
        format!("CASE +{x} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE {plain} END")
    } else if matches!(column.declared.as_str(), "JSON" | "JSONB") {
        format!(
            "CASE WHEN typeof({x}) = 'text' AND length({x}) <= {MAX_TEXT_CHARS} AND json_valid({x}) THEN {x} \
             ELSE {plain} END"
        )
    } else {
        plain
    }
}

/// A real as a JSON number; JSON has no infinity.
fn real(x: &str) -> String {
    format!("iif(abs({x}) < 9e999, {}, 'null')", digits(x))
}

/// The fewest digits of 15, 17 and 19 that read back the same. 17 would always do, were it not for SQLite's own
/// conversions, which can be off in the last of them for numbers beyond 1e±70.
fn digits(x: &str) -> String {
    let text = |digits: u32| format!("printf('%!.{digits}g', {x})");
    let exact = |digits: u32| format!("CAST({} AS REAL) = {x}", text(digits));
    format!(
        "CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END",
        exact(15),
        text(15),
        exact(17),
        text(17),
        text(19)
    )
}

/// The key of a row as text; null when a part of it is null.
pub(super) fn key(row: &str, columns: &[String]) -> String {
    let parts: Vec<String> = columns
        .iter()
        .map(|name| {
            let x = format!("{row}.{}", identifier(name));
            format!(
                "CASE typeof({x}) WHEN 'real' THEN {} WHEN 'blob' THEN hex({x}) ELSE CAST({x} AS TEXT) END",
                digits(&x)
            )
        })
        .collect();
    parts.join(" || ':' || ")
}

/// Whether any of the columns differs between the two images, as values are stored: a column's own collation, such as
/// NOCASE, would take `a` and `A` for the same.
pub(super) fn differs<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<String> = names
        .into_iter()
        .map(|name| format!("OLD.{0} IS NOT NEW.{0} COLLATE BINARY", identifier(name)))
        .collect();
    disjunction(&parts)
}

fn disjunction(parts: &[String]) -> String {
    if parts.len() <= PIECES_IN_A_ROW {
        return parts.join(" OR ");
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    format!("({}) OR ({})", disjunction(left), disjunction(right))
}
