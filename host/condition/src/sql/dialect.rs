//! What the two databases write differently.

use super::{
    test::Test,
    value::{Number, Text, Value},
};
use crate::syntax::Comparator;

/// The SQL of one database. All expressions are complete in themselves: they can stand on either side of an operator.
pub(super) trait Dialect {
    fn boolean(&self, value: bool) -> &'static str;

    /// A truth value that is unknown.
    fn unknown(&self) -> &'static str;

    fn text(&self, text: &str) -> String;

    /// `None` when the database cannot compare with this number exactly.
    fn number(&self, text: &str) -> Option<String>;

    /// The value of a column in the row that is called `NEW` or `OLD`; `None` when there is no such column.
    fn column(&self, row: &str, name: &str) -> Option<Value>;

    fn compare_booleans(&self, left: &str, comparator: Comparator, right: &str) -> String;

    fn compare_numbers(&self, left: &Number, comparator: Comparator, right: &Number) -> Test;

    /// By code point.
    fn compare_texts(&self, left: &str, comparator: Comparator, right: &str) -> String;

    /// As instants where both are date-times, else by code point.
    fn compare_times(&self, left: &Text, comparator: Comparator, right: &Text) -> String;

    /// Whether two JSON values differ.
    fn documents_differ(&self, left: &str, right: &str) -> String;

    /// Whether a number equals one of these, as written by [`Dialect::number`], or NULL.
    fn number_in(&self, number: &str, list: &[String]) -> String;

    /// The same for texts.
    fn text_in(&self, text: &str, list: &[String]) -> String;

    fn contains(&self, text: &str, sought: &str) -> String;

    fn starts_with(&self, text: &str, sought: &str) -> String;

    fn ends_with(&self, text: &str, sought: &str) -> String;

    /// LIKE with a pattern of the condition itself.
    fn like(&self, text: &str, pattern: &str) -> Test;

    /// The [code](super::test) of a truth value.
    fn code(&self, truth: &str) -> String;

    /// Another number for each code.
    fn pick(&self, code: &str, numbers: [usize; 4]) -> String;

    /// The code in the least of these numbers, which are at least two: what remains when it is divided by four.
    fn least(&self, numbers: &[String]) -> String;

    /// Whether a truth value is true; never unknown.
    fn is_true(&self, truth: &str) -> String;

    /// Whether a code is that of true or of an error.
    fn is_true_or_error(&self, code: &str) -> String;
}

/// Expressions with an operator between them, as a balanced tree: SQLite bounds how deep an expression nests.
pub(super) fn joined(parts: &[String], operator: &str) -> String {
    const IN_A_ROW: usize = 8;
    if parts.len() <= IN_A_ROW {
        return format!("({})", parts.join(operator));
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    format!("({}{operator}{})", joined(left, operator), joined(right, operator))
}
