//! Comparisons and logic, over exact numbers: 150 is 150.00, also within lists and objects.

use std::cmp::Ordering;

use aftercommit_core::number;
use serde_json::{Number, Value};

use super::arguments::Arguments;
use crate::templates::RenderProblem;

type Made = Result<Value, RenderProblem>;

pub(super) fn eq(given: &Arguments<'_, '_>) -> Made {
    Ok(number::same(given.given(0)?, given.given(1)?).into())
}

pub(super) fn ne(given: &Arguments<'_, '_>) -> Made {
    Ok((!number::same(given.given(0)?, given.given(1)?)).into())
}

pub(super) fn gt(given: &Arguments<'_, '_>) -> Made {
    Ok(order(given)?.is_some_and(Ordering::is_gt).into())
}

pub(super) fn gte(given: &Arguments<'_, '_>) -> Made {
    Ok(order(given)?.is_some_and(Ordering::is_ge).into())
}

pub(super) fn lt(given: &Arguments<'_, '_>) -> Made {
    Ok(order(given)?.is_some_and(Ordering::is_lt).into())
}

pub(super) fn lte(given: &Arguments<'_, '_>) -> Made {
    Ok(order(given)?.is_some_and(Ordering::is_le).into())
}

pub(super) fn and(given: &Arguments<'_, '_>) -> Made {
    Ok(given.all()?.into_iter().all(is_truthy).into())
}

pub(super) fn or(given: &Arguments<'_, '_>) -> Made {
    Ok(given.all()?.into_iter().any(is_truthy).into())
}

pub(super) fn not(given: &Arguments<'_, '_>) -> Made {
    Ok((!is_truthy(given.given(0)?)).into())
}

/// Whether a value is there, and not false, 0 or empty.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number::compare(number.as_str(), "0").is_ne(),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// Nothing where there is no order: then no comparison holds.
fn order(given: &Arguments<'_, '_>) -> Result<Option<Ordering>, RenderProblem> {
    // A text that is a number compares with numbers as one: some databases keep decimals as text.
    let numbers = |left: &str, right: &str| number::compare(left, right);
    Ok(match (given.given(0)?, given.given(1)?) {
        (Value::Number(left), Value::Number(right)) => Some(numbers(left.as_str(), right.as_str())),
        (Value::String(left), Value::Number(right)) if is_number(left) => Some(numbers(left, right.as_str())),
        (Value::Number(left), Value::String(right)) if is_number(right) => {
            Some(numbers(left.as_str(), right))
        }
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    })
}

pub(super) fn is_number(text: &str) -> bool {
    text.parse::<Number>().is_ok()
}
