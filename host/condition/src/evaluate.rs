//! What a program says of a row.
//!
//! Everything is looked at from left to right, and no further than needed: AND stops at the first false, OR and IN at
//! the first true. An error counts when it is reached. So the result depends on the row and the text alone, and a
//! condition can guard another: `kind = 'sized' AND size > 5`. Nothing here allocates, but for errors and for a LIKE
//! whose pattern is a field.

use std::cmp::Ordering;

use aftercommit_core::{EventKind, number};
use serde_json::Value;

use crate::{
    evaluation_error::{EvalError, Party, Reason},
    like::Pattern,
    program::{Between, ChangedValue, Compare, OneOf, SearchTest, Source, Term, Test},
    row::Row,
    syntax::{Comparator, Field, Image, Search, Span, Step},
    truth::Truth,
    value::Datum,
};

/// Boxed, so that the usual answer is small.
type Answer = Result<Truth, Box<EvalError>>;

impl Test {
    pub(crate) fn evaluate(&self, row: &Row<'_>) -> Answer {
        match self {
            Self::AnyOf(parts) => until(parts, Truth::True, |part| part.evaluate(row)),
            Self::AllOf(parts) => until(parts, Truth::False, |part| part.evaluate(row)),
            Self::Not(inner) => inner.evaluate(row).map(|truth| !truth),
            Self::Compare(compare) => compare.evaluate(row),
            Self::OneOf(one_of) => one_of.evaluate(row),
            Self::Between(between) => between.evaluate(row),
            Self::Search(search) => search.evaluate(row),
            Self::IsNull(term) => Ok(term.read(row).is_null().into()),
            Self::Changed(field) => Ok(changed(field, row).into()),
            Self::ChangedTo(change) => change.evaluate_to(row),
            Self::ChangedFrom(change) => change.evaluate_from(row),
            Self::HasField(field) => Ok(find(field, row).is_some().into()),
        }
    }
}

/// The first answer that is `decisive`; else unknown if any is, else the opposite.
fn until<T>(parts: &[T], decisive: Truth, evaluate: impl Fn(&T) -> Answer) -> Answer {
    let mut result = !decisive;
    for part in parts {
        let truth = evaluate(part)?;
        if truth == decisive {
            return Ok(decisive);
        }
        if truth == Truth::Unknown {
            result = Truth::Unknown;
        }
    }
    Ok(result)
}

impl Compare {
    fn evaluate(&self, row: &Row<'_>) -> Answer {
        compare(&self.left, self.left.read(row), self.comparator, &self.right, self.right.read(row))
    }
}

fn compare(
    left_term: &Term,
    left: Datum<'_>,
    comparator: Comparator,
    right_term: &Term,
    right: Datum<'_>,
) -> Answer {
    if left.is_null() || right.is_null() {
        return Ok(Truth::Unknown);
    }
    let holds = if comparator.is_equality() {
        left.equals(right).map(|equal| equal == (comparator == Comparator::Equal))
    } else {
        left.order(right).map(|order| match comparator {
            Comparator::Greater => order == Ordering::Greater,
            Comparator::GreaterOrEqual => order != Ordering::Less,
            Comparator::Less => order == Ordering::Less,
            Comparator::LessOrEqual => order != Ordering::Greater,
            Comparator::Equal => order == Ordering::Equal,
            Comparator::NotEqual => order != Ordering::Equal,
        })
    };
    holds.map(Truth::from).ok_or_else(|| {
        let reason = if left.type_of() == right.type_of() { Reason::NoOrder } else { Reason::DifferentTypes };
        Box::new(error(reason, comparator.as_str(), (left_term, left), (right_term, right)))
    })
}

impl OneOf {
    fn evaluate(&self, row: &Row<'_>) -> Answer {
        let left = self.term.read(row);
        if left.is_null() {
            return Ok(Truth::Unknown);
        }
        until(&self.list, Truth::True, |candidate| {
            let right = candidate.read(row);
            if right.is_null() {
                return Ok(Truth::Unknown);
            }
            left.equals(right).map(Truth::from).ok_or_else(|| {
                Box::new(error(Reason::DifferentTypes, "IN", (&self.term, left), (candidate, right)))
            })
        })
    }
}

impl Between {
    /// As `term >= low AND term <= high`.
    fn evaluate(&self, row: &Row<'_>) -> Answer {
        let term = self.term.read(row);
        let bounds = [(&self.low, Comparator::GreaterOrEqual), (&self.high, Comparator::LessOrEqual)];
        until(&bounds, Truth::False, |(bound, comparator)| {
            let answer = compare(&self.term, term, *comparator, bound, bound.read(row));
            answer.map_err(|mut error| {
                error.operator = "BETWEEN";
                error
            })
        })
    }
}

impl SearchTest {
    fn evaluate(&self, row: &Row<'_>) -> Answer {
        let (left, right) = (self.term.read(row), self.sought.read(row));
        if left.is_null() || right.is_null() {
            return Ok(Truth::Unknown);
        }
        let failed = |reason| {
            Err(Box::new(error(reason, self.search.as_str(), (&self.term, left), (&self.sought, right))))
        };
        let holds = match (self.search, left, right) {
            (Search::Contains, Datum::Array(Value::Array(elements)), sought) => {
                elements.iter().any(|element| sought.equals(element.into()) == Some(true))
            }
            (_, Datum::Text(text), Datum::Text(sought)) => match (self.search, &self.pattern) {
                (Search::Contains, _) => text.contains(sought),
                (Search::StartsWith, _) => text.starts_with(sought),
                (Search::EndsWith, _) => text.ends_with(sought),
                (Search::Like, Some(pattern)) => pattern.matches(text),
                (Search::Like, None) => match Pattern::read(sought) {
                    Ok(pattern) => pattern.matches(text),
                    Err(_) => return failed(Reason::BadPattern),
                },
            },
            (Search::Contains, Datum::Text(_), _) => return failed(Reason::NotText),
            (Search::Contains, ..) => return failed(Reason::NotSearchable),
            _ => return failed(Reason::NotText),
        };
        Ok(holds.into())
    }
}

impl ChangedValue {
    fn evaluate_to(&self, row: &Row<'_>) -> Answer {
        let applies = match row.kind {
            EventKind::Created => true,
            EventKind::Updated | EventKind::Custom => changed(&self.field, row),
            EventKind::Deleted => false,
        };
        if !applies {
            return Ok(Truth::False);
        }
        self.equals("CHANGED_TO", find(&self.field, row).into(), row)
    }

    fn evaluate_from(&self, row: &Row<'_>) -> Answer {
        let applies = match row.kind {
            EventKind::Deleted => true,
            EventKind::Updated | EventKind::Custom => changed(&self.field, row),
            EventKind::Created => false,
        };
        if !applies {
            return Ok(Truth::False);
        }
        let Some(image) = row.image(Some(Image::Old)) else {
            // The source named what changed and did not keep what it was.
            return Ok(Truth::Unknown);
        };
        self.equals("CHANGED_FROM", walk(&self.field, image).into(), row)
    }

    /// Null is a value here: `CHANGED_TO(f, NULL)` means became null.
    fn equals(&self, function: &'static str, actual: Datum<'_>, row: &Row<'_>) -> Answer {
        let value = self.value.read(row);
        if actual.is_null() || value.is_null() {
            return Ok((actual.is_null() && value.is_null()).into());
        }
        actual.equals(value).map(Truth::from).ok_or_else(|| {
            let left = Party { text: self.field.to_string(), type_of: actual.type_of(), is_literal: false };
            let right = self.value.party(value);
            let span = self.field_span.to(self.value.span);
            Box::new(EvalError { reason: Reason::DifferentTypes, operator: function, left, right, span })
        })
    }
}

impl Term {
    fn read<'a>(&'a self, row: &Row<'a>) -> Datum<'a> {
        match &self.source {
            Source::Field(field) => find(field, row).into(),
            Source::Text(text) => Datum::Text(text),
            Source::Number(number) => Datum::Number(number.borrow()),
            Source::Boolean(boolean) => Datum::Boolean(*boolean),
            Source::Null => Datum::Null,
        }
    }

    fn party(&self, datum: Datum<'_>) -> Party {
        let is_literal = !matches!(self.source, Source::Field(_));
        Party { text: self.to_string(), type_of: datum.type_of(), is_literal }
    }
}

#[cold]
fn error(
    reason: Reason,
    operator: &'static str,
    (left, left_datum): (&Term, Datum<'_>),
    (right, right_datum): (&Term, Datum<'_>),
) -> EvalError {
    let span = Span { start: left.span.start.min(right.span.start), end: left.span.end.max(right.span.end) };
    let (left, right) = (left.party(left_datum), right.party(right_datum));
    EvalError { reason, operator, left, right, span }
}

/// The value of a field; `None` when the row has none, which is not the same as null.
fn find<'a>(field: &Field, row: &Row<'a>) -> Option<&'a Value> {
    walk(field, row.image(field.image)?)
}

fn walk<'a>(field: &Field, image: &'a Value) -> Option<&'a Value> {
    let root = member(image, &field.root.text)?;
    field.steps.iter().try_fold(root, |value, step| match step {
        Step::Name(name) => member(value, &name.text),
        Step::Index(index) => value.as_array()?.get(usize::try_from(*index).ok()?),
    })
}

/// Up to this many names, comparing each for equality (where most differ in length already) is several times faster
/// than the tree's ordered search.
const FEW_NAMES: usize = 24;

fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let object = object.as_object()?;
    if object.len() > FEW_NAMES {
        return object.get(name);
    }
    object.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value)
}

/// Whether an update changed a field. A created or deleted row has no two images to differ.
fn changed(field: &Field, row: &Row<'_>) -> bool {
    match (row.kind, row.old) {
        (EventKind::Created | EventKind::Deleted, _) => false,
        (EventKind::Updated | EventKind::Custom, Some(old)) if !field.steps.is_empty() => {
            let (before, after) = (walk(field, old), walk(field, row.data));
            !number::same(before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null))
        }
        // Without the old image, only the names of the row's own fields are known to have changed.
        (EventKind::Updated | EventKind::Custom, _) => row.changed.contains(&field.root.text),
    }
}
