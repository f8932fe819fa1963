//! Comparisons of two values: one arm for each type that both can have, and an error for all other rows.

use super::{
    dialect::Dialect,
    test::{ERROR, Test, UNKNOWN},
    value::{Arm, Text, Time, Value},
};
use crate::syntax::{Comparator, Search};

/// What a comparison with null is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// Unknown.
    Unknown,
    /// True when both are, as in `CHANGED_TO(f, NULL)`.
    Equal,
}

/// Two values that share a type.
pub(super) fn compare(
    dialect: &dyn Dialect,
    left: &Value,
    comparator: Comparator,
    right: &Value,
    nulls: Nulls,
) -> Test {
    let mut arms = Vec::new();
    if let (Some(first), Some(second)) = (&left.boolean, &right.boolean) {
        let test = if comparator.is_equality() {
            Test::Truth(dialect.compare_booleans(&first.value, comparator, &second.value))
        } else {
            Test::Code(ERROR.to_owned())
        };
        arms.push((both(first, second), test));
    }
    if let (Some(first), Some(second)) = (&left.number, &right.number) {
        arms.push((both(first, second), dialect.compare_numbers(&first.value, comparator, &second.value)));
    }
    if let (Some(first), Some(second)) = (&left.text, &right.text) {
        let truth = compare_texts(dialect, &first.value, comparator, &second.value);
        arms.push((both(first, second), Test::Truth(truth)));
    }
    choose(dialect, left, right, arms, nulls)
}

/// Whether two images of a value differ, letter by letter where they are texts.
pub(super) fn differs(dialect: &dyn Dialect, before: &Value, after: &Value) -> Test {
    if let (Some(before), Some(after)) = (&before.document, &after.document) {
        return Test::Truth(dialect.documents_differ(before, after));
    }
    let comparator = Comparator::Equal;
    let mut arms = Vec::new();
    if let (Some(first), Some(second)) = (&before.boolean, &after.boolean) {
        let truth = dialect.compare_booleans(&first.value, comparator, &second.value);
        arms.push((both(first, second), Test::Truth(truth)));
    }
    if let (Some(first), Some(second)) = (&before.number, &after.number) {
        arms.push((both(first, second), dialect.compare_numbers(&first.value, comparator, &second.value)));
    }
    if let (Some(first), Some(second)) = (&before.text, &after.text) {
        let truth = dialect.compare_texts(&first.value.sql, comparator, &second.value.sql);
        arms.push((both(first, second), Test::Truth(truth)));
    }
    let mut sql = null_case(dialect, before, after, Nulls::Equal);
    for (when, test) in arms {
        let when = when.unwrap_or_else(|| dialect.boolean(true).to_owned());
        sql.push(format!("WHEN {when} THEN {}", test.code(dialect)));
    }
    // A value of another type is another value.
    sql.push(format!("ELSE {}", dialect.code(dialect.boolean(false))));
    Test::Code(format!("(CASE {} END)", sql.join(" "))).negated(true, dialect)
}

/// A text that is searched, with what is looked for. LIKE has a pattern of the condition itself.
pub(super) fn search(
    dialect: &dyn Dialect,
    left: &Value,
    how: Search,
    sought: &Value,
    pattern: Option<&str>,
) -> Test {
    let mut arms = Vec::new();
    if let (Some(first), Some(second)) = (&left.text, &sought.text) {
        let (whole, part) = (&first.value.sql, &second.value.sql);
        let test = match how {
            Search::Like => dialect.like(whole, pattern.unwrap_or_default()),
            Search::Contains => Test::Truth(dialect.contains(whole, part)),
            Search::StartsWith => Test::Truth(dialect.starts_with(whole, part)),
            Search::EndsWith => Test::Truth(dialect.ends_with(whole, part)),
        };
        arms.push((both(first, second), test));
    }
    choose(dialect, left, sought, arms, Nulls::Unknown)
}

/// A list of literals of one type, NULL among them at will.
pub(super) enum List {
    Numbers(Vec<String>),
    Texts(Vec<String>),
}

/// `IN` with a list of literals.
pub(super) fn one_of(dialect: &dyn Dialect, left: &Value, list: &List) -> Test {
    let arm = match (list, &left.number, &left.text) {
        (List::Numbers(list), Some(arm), _) => {
            Some((arm.when.clone(), Test::Truth(dialect.number_in(&arm.value.sql, list))))
        }
        (List::Texts(list), _, Some(arm)) => {
            Some((arm.when.clone(), Test::Truth(dialect.text_in(&arm.value.sql, list))))
        }
        _ => None,
    };
    choose(dialect, left, left, arm.into_iter().collect(), Nulls::Unknown)
}

fn compare_texts(dialect: &dyn Dialect, left: &Text, comparator: Comparator, right: &Text) -> String {
    match (&left.time, &right.time) {
        (Time::Never, _) | (_, Time::Never) => dialect.compare_texts(&left.sql, comparator, &right.sql),
        _ => dialect.compare_times(left, comparator, right),
    }
}

fn both<L, R>(left: &Arm<L>, right: &Arm<R>) -> Option<String> {
    match (&left.when, &right.when) {
        (None, None) => None,
        (Some(when), None) | (None, Some(when)) => Some(when.clone()),
        (Some(left), Some(right)) => Some(format!("({left} AND {right})")),
    }
}

/// The arm that fits the row. Where only one type is possible it needs no choice: a null makes it null.
fn choose(
    dialect: &dyn Dialect,
    left: &Value,
    right: &Value,
    mut arms: Vec<(Option<String>, Test)>,
    nulls: Nulls,
) -> Test {
    let decided = left.is_static() && right.is_static() && arms.len() == 1;
    let never_null = left.null.is_none() && right.null.is_none();
    if decided && (nulls == Nulls::Unknown || never_null) {
        return arms.remove(0).1;
    }
    let mut sql = null_case(dialect, left, right, nulls);
    let mut otherwise = ERROR.to_owned();
    for (when, test) in arms {
        match when {
            Some(when) => sql.push(format!("WHEN {when} THEN {}", test.code(dialect))),
            None => otherwise = test.code(dialect),
        }
    }
    if sql.is_empty() {
        return Test::Code(otherwise);
    }
    Test::Code(format!("(CASE {} ELSE {otherwise} END)", sql.join(" ")))
}

/// What becomes of a null, before the types are looked at.
fn null_case(dialect: &dyn Dialect, left: &Value, right: &Value, nulls: Nulls) -> Vec<String> {
    let never = dialect.boolean(false);
    let (any, all) = match (&left.null, &right.null) {
        (None, None) => return Vec::new(),
        (Some(null), None) | (None, Some(null)) => (null.clone(), never.to_owned()),
        (Some(left), Some(right)) if left == right => (left.clone(), left.clone()),
        (Some(left), Some(right)) => (format!("({left} OR {right})"), format!("({left} AND {right})")),
    };
    let result = match nulls {
        Nulls::Unknown => UNKNOWN.to_owned(),
        Nulls::Equal => dialect.code(&all),
    };
    vec![format!("WHEN {any} THEN {result}")]
}
