//! Where a value comes from.

use std::ops::Range;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// These bytes of the file's text.
    Span(Range<usize>),
    /// At this byte of the file's text, on a line that must not be shown: it holds a secret.
    Hidden(usize),
    /// An environment variable of this name.
    Environment(String),
    /// Somewhere in the file: its parser does not say where (JSON).
    Unknown,
}

/// The line and the column of a byte, both from 1, the column in characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The bytes of one character at a line and a column, both from 1, the column in characters.
pub(super) fn span_at(text: &str, line: usize, column: usize) -> Range<usize> {
    let line_start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let rest = text[line_start.min(text.len())..].split(['\n', '\r']).next().unwrap_or_default();
    let (offset, width) = rest
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or((rest.len(), 0), |(offset, character)| (offset, character.len_utf8()));
    line_start + offset..line_start + offset + width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_become_bytes() {
        let text = "ab\ncäd\n";
        assert_eq!(&text[span_at(text, 2, 2)], "ä");
        assert_eq!(&text[span_at(text, 2, 3)], "d");
        assert_eq!(span_at(text, 2, 9), 7..7);
        assert_eq!(span_at(text, 9, 1), 8..8);
        assert_eq!(line_and_column(text, 6), (2, 3));
    }
}
