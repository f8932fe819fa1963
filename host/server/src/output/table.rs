//! Rows and objects as text: aligned, without lines, so that pipes can cut it.

use aftercommit_core::plain::plain;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// Longer texts are shortened on a terminal: two of them still fit beside an id.
const MAX_CELL_CHARS: usize = 60;

/// Blanks between two columns.
const GAP: usize = 2;

/// How wide the columns of a table are, in columns of a terminal.
pub(super) struct Widths(Vec<usize>);

impl Widths {
    /// As wide as the widest of these cells, line by line.
    pub(super) fn of(lines: &[Vec<String>]) -> Self {
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| lines.iter().filter_map(|cells| cells.get(column)).map(|cell| cell.width()).max();
        Self((0..columns).map(|column| width(column).unwrap_or(0)).collect())
    }

    /// The line of these cells, without an end. A cell that is wider than its column moves those behind it: nothing is cut.
    pub(super) fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (width, cell) in self.0.iter().zip(cells) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The heads of columns: the keys in capitals.
pub(super) fn heads(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| plain(&column.to_uppercase()).into_owned()).collect()
}

/// The cells of some keys of a row.
pub(super) fn cells(row: &Value, columns: &[&str], shorten: bool) -> Vec<String> {
    columns.iter().map(|column| cell(&row[*column], shorten)).collect()
}

/// A table of some keys of each row.
fn list(rows: &[Value], columns: &[&str], shorten: bool) -> String {
    let rows = rows.iter().map(|row| cells(row, columns, shorten));
    let lines: Vec<Vec<String>> = std::iter::once(heads(columns)).chain(rows).collect();
    let widths = Widths::of(&lines);
    lines.iter().map(|cells| widths.line(cells)).collect::<Vec<_>>().join("\n")
}

/// The keys of an object line by line; objects and lists of objects in it as paragraphs of their own.
pub(super) fn show(item: &Value, shorten: bool) -> String {
    let Value::Object(map) = item else { return text(item) };
    let nested = |value: &Value| match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => items.iter().any(Value::is_object),
        _ => false,
    };
    let width = map.iter().filter(|(_, value)| !nested(value)).map(|(key, _)| key.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut paragraphs: Vec<String> = Vec::new();
    let lines: Vec<String> = map
        .iter()
        .filter(|(_, value)| !nested(value))
        .map(|(key, value)| {
            let value = text(value).replace('\n', &format!("\n{:width$}  ", ""));
            format!("{key:width$}  {value}").trim_end().to_owned()
        })
        .collect();
    if !lines.is_empty() {
        paragraphs.push(lines.join("\n"));
    }
    for (key, value) in map.iter().filter(|(_, value)| nested(value)) {
        let body = match value {
            Value::Array(rows) => list(rows, &columns_of(rows), shorten),
            value => show(value, shorten),
        };
        paragraphs.push(format!("{key}:\n  {}", body.replace('\n', "\n  ")));
    }
    paragraphs.join("\n\n")
}

/// Every key that a row has and that holds no object, in the order of the first row.
fn columns_of(rows: &[Value]) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    for (key, value) in rows.iter().filter_map(Value::as_object).flatten() {
        if !value.is_object() && !value.is_null() && !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    columns
}

fn cell(value: &Value, shorten: bool) -> String {
    let line = text(value).split_whitespace().collect::<Vec<_>>().join(" ");
    // Before it is measured: what is replaced has a width.
    let line = plain(&line).into_owned();
    if shorten && line.chars().count() > MAX_CELL_CHARS {
        return line.chars().take(MAX_CELL_CHARS - 1).chain(['…']).collect();
    }
    line
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [json!({"id": "a", "n": 1, "why": "x\ny"}), json!({"id": "bcd", "n": 100, "why": null})];
        assert_eq!(list(&rows, &["id", "n", "why"], false), "ID   N    WHY\na    1    x y\nbcd  100  -");
    }

    #[test]
    fn a_cell_that_is_wider_than_its_column_moves_what_is_behind_it() {
        let widths = Widths::of(&[heads(&["id", "n"]), vec!["ab".to_owned(), "1".to_owned()]]);
        assert_eq!(widths.line(&["ab".to_owned(), "2".to_owned()]), "ab  2");
        assert_eq!(widths.line(&["abcdef".to_owned(), "3".to_owned()]), "abcdef  3");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [json!({"id": "注文", "n": 1}), json!({"id": "abcd", "n": 2})];
        assert_eq!(list(&rows, &["id", "n"], false), "ID    N\n注文  1\nabcd  2");
    }

    #[test]
    fn only_a_terminal_shortens() {
        let rows = [json!({"why": "x".repeat(100)})];
        assert!(list(&rows, &["why"], false).ends_with(&"x".repeat(100)));
        assert!(list(&rows, &["why"], true).ends_with("x…"));
    }

    #[test]
    fn an_object_is_shown_key_by_key() {
        let item = json!({"id": "a", "status": "dead", "data": {"n": 1.10}, "rows": [{"k": 1}], "none": []});
        insta::assert_snapshot!(show(&item, false), @r"
        id      a
        status  dead
        none    -

        data:
          n  1.1

        rows:
          K
          1
        ");
    }
}
