//! A second evaluator, as plain as possible: it follows the language's page on the tree, allocates at will, and shares
//! nothing with the real one.

use aftercommit_condition::{
    Row, Truth,
    syntax::{
        Comparator, EventField, Expression, ExpressionKind, Field, Image, Operand, OperandKind, Search, Step,
    },
};
use aftercommit_core::EventKind;
use serde_json::Value;

/// The one error: values that do not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

type Answer = Result<Truth, Misfit>;

pub(crate) fn evaluate(expression: &Expression, row: &Row<'_>) -> Answer {
    match &expression.kind {
        ExpressionKind::AnyOf(parts) => junction(parts.iter().map(|part| evaluate(part, row)), Truth::True),
        ExpressionKind::AllOf(parts) => junction(parts.iter().map(|part| evaluate(part, row)), Truth::False),
        ExpressionKind::Not(inner) => Ok(not(evaluate(inner, row)?, true)),
        ExpressionKind::Comparison { left, comparator, right } => {
            compare(&value(left, row), *comparator, &value(right, row))
        }
        ExpressionKind::Membership { operand, negated, list } => {
            let left = value(operand, row);
            if left.is_null() {
                return Ok(Truth::Unknown);
            }
            let answers = list.iter().map(|right| compare(&left, Comparator::Equal, &value(right, row)));
            Ok(not(junction(answers, Truth::True)?, *negated))
        }
        ExpressionKind::Range { operand, negated, low, high } => {
            let subject = value(operand, row);
            let answers = [
                compare(&subject, Comparator::GreaterOrEqual, &value(low, row)),
                compare(&subject, Comparator::LessOrEqual, &value(high, row)),
            ];
            Ok(not(junction(answers.into_iter(), Truth::False)?, *negated))
        }
        ExpressionKind::Search { operand, negated, search: how, sought } => {
            Ok(not(search(&value(operand, row), *how, &value(sought, row))?, *negated))
        }
        ExpressionKind::NullTest { operand, negated } => {
            Ok(not(Truth::from(value(operand, row).is_null()), *negated))
        }
        ExpressionKind::Call { function, arguments, .. } => call(function, arguments, row),
    }
}

/// Looks at the answers up to the first decisive one. An error among them is the result, else the strongest.
fn junction(answers: impl Iterator<Item = Answer>, decisive: Truth) -> Answer {
    let mut seen = Vec::new();
    for answer in answers {
        let last = answer == Ok(decisive);
        seen.push(answer);
        if last {
            break;
        }
    }
    let seen: Vec<Truth> = seen.into_iter().collect::<Result<_, _>>()?;
    let strongest = [decisive, Truth::Unknown].into_iter().find(|truth| seen.contains(truth));
    Ok(strongest.unwrap_or(not(decisive, true)))
}

fn not(truth: Truth, negated: bool) -> Truth {
    match (truth, negated) {
        (Truth::True, true) => Truth::False,
        (Truth::False, true) => Truth::True,
        (truth, _) => truth,
    }
}

/// Null stands for missing here too; only `HAS_FIELD` asks further.
fn value(operand: &Operand, row: &Row<'_>) -> Value {
    match &operand.kind {
        OperandKind::Text(text) => Value::String(text.clone()),
        OperandKind::Number(number) => serde_json::from_str(number).unwrap(),
        OperandKind::Boolean(boolean) => Value::Bool(*boolean),
        OperandKind::Null => Value::Null,
        OperandKind::Field(field) => find(field, field.image, row).unwrap_or(Value::Null),
        OperandKind::Event(field) => match field {
            EventField::Actor => row.event.actor.into(),
            EventField::TenantId => row.event.tenant_id.into(),
            EventField::Traceparent => row.event.traceparent.into(),
            EventField::EntityType => row.event.entity_type.into(),
            EventField::EntityId => row.event.entity_id.into(),
            EventField::EventKind => row.kind.as_str().into(),
            EventField::OccurredAt => row.event.occurred_at.to_string().into(),
        },
    }
}

fn find(field: &Field, image: Option<Image>, row: &Row<'_>) -> Option<Value> {
    let image = match (row.kind, image) {
        (EventKind::Created, Some(Image::Old)) | (EventKind::Deleted, Some(Image::New)) => return None,
        (EventKind::Updated | EventKind::Custom, Some(Image::Old)) => row.old?,
        _ => row.data,
    };
    let mut found = image.get(&field.root.text)?;
    for step in &field.steps {
        found = match step {
            Step::Name(name) => found.get(&name.text)?,
            Step::Index(index) => found.get(usize::try_from(*index).unwrap())?,
        };
    }
    Some(found.clone())
}

/// Thousandths: the generated numbers have at most three digits after the point.
fn thousandths(value: &Value) -> i64 {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{fraction:0<3}").parse().unwrap()
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => thousandths(left) == thousandths(right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.keys().eq(right.keys())
                && left.values().zip(right.values()).all(|(left, right)| equal(left, right))
        }
        _ => left == right,
    }
}

/// Seconds, for the few date-times that are generated: all on one day, in whole hours.
fn instant(value: &Value) -> Option<i64> {
    let text = value.as_str()?.strip_prefix("2026-02-01T")?;
    let (hour, zone) = (text.get(..2)?.parse::<i64>().ok()?, text.get(2..)?.strip_prefix(":00:00")?);
    let offset = if zone == "Z" { 0 } else { zone.strip_suffix(":00")?.parse::<i64>().ok()? };
    Some(hour - offset)
}

/// Texts that write down the same instant are equal; two values within an array or an object only as they are written.
fn equal_texts(left: &Value, right: &Value) -> bool {
    match (instant(left), instant(right)) {
        (Some(left), Some(right)) => left == right,
        _ => equal(left, right),
    }
}

fn same_type(left: &Value, right: &Value) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

fn compare(left: &Value, comparator: Comparator, right: &Value) -> Answer {
    if left.is_null() || right.is_null() {
        return Ok(Truth::Unknown);
    }
    if !same_type(left, right) {
        return Err(Misfit);
    }
    let less = |left: &Value, right: &Value| match (left, right) {
        (Value::Number(_), Value::Number(_)) => Ok(thousandths(left) < thousandths(right)),
        (Value::String(first), Value::String(second)) => Ok(match (instant(left), instant(right)) {
            (Some(left), Some(right)) => left < right,
            _ => first.chars().lt(second.chars()),
        }),
        _ => Err(Misfit),
    };
    Ok(Truth::from(match comparator {
        Comparator::Equal => equal_texts(left, right),
        Comparator::NotEqual => !equal_texts(left, right),
        Comparator::Less => less(left, right)?,
        Comparator::LessOrEqual => !less(right, left)?,
        Comparator::Greater => less(right, left)?,
        Comparator::GreaterOrEqual => !less(left, right)?,
    }))
}

fn search(left: &Value, search: Search, right: &Value) -> Answer {
    if left.is_null() || right.is_null() {
        return Ok(Truth::Unknown);
    }
    if let (Search::Contains, Value::Array(elements)) = (search, left) {
        return Ok(Truth::from(
            elements.iter().any(|element| same_type(element, right) && equal(element, right)),
        ));
    }
    let (Value::String(left), Value::String(right)) = (left, right) else { return Err(Misfit) };
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    Ok(Truth::from(match search {
        Search::Contains => right.is_empty() || left.windows(right.len()).any(|window| window == right),
        Search::StartsWith => left.starts_with(&right),
        Search::EndsWith => left.ends_with(&right),
        Search::Like => {
            let escapes = right.iter().rev().take_while(|character| **character == '\\').count();
            if escapes % 2 == 1 {
                return Err(Misfit);
            }
            like(&left, &right)
        }
    }))
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            text.first() == Some(literal) && like(&text[1..], rest)
        }
    }
}

fn call(function: &str, arguments: &[Operand], row: &Row<'_>) -> Answer {
    let OperandKind::Field(field) = &arguments[0].kind else { panic!("the first argument is a field") };
    let (old, new) = (find(field, Some(Image::Old), row), find(field, Some(Image::New), row));
    let changed = match row.kind {
        EventKind::Created | EventKind::Deleted => false,
        _ if field.steps.is_empty() || row.old.is_none() => row.changed.contains(&field.root.text),
        _ => !equal(&old.clone().unwrap_or(Value::Null), &new.clone().unwrap_or(Value::Null)),
    };
    let wanted = || value(&arguments[1], row);
    match (function, row.kind) {
        ("HAS_FIELD", _) => Ok(Truth::from(find(field, field.image, row).is_some())),
        ("CHANGED", _) => Ok(Truth::from(changed)),
        ("CHANGED_TO", EventKind::Created) => became(new, &wanted()),
        ("CHANGED_TO", _) if changed => became(new, &wanted()),
        ("CHANGED_FROM", EventKind::Deleted) => became(old, &wanted()),
        ("CHANGED_FROM", _) if changed && row.old.is_none() => Ok(Truth::Unknown),
        ("CHANGED_FROM", _) if changed => became(old, &wanted()),
        ("CHANGED_TO" | "CHANGED_FROM", _) => Ok(Truth::False),
        (function, _) => panic!("{function}"),
    }
}

/// Null equals null here, and only null.
fn became(found: Option<Value>, wanted: &Value) -> Answer {
    let found = found.unwrap_or(Value::Null);
    if found.is_null() || wanted.is_null() {
        return Ok(Truth::from(found.is_null() && wanted.is_null()));
    }
    if same_type(&found, wanted) { Ok(Truth::from(equal_texts(&found, wanted))) } else { Err(Misfit) }
}
