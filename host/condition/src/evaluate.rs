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
    like::{BadPattern, Pattern},
    program::{Between, ChangedValue, Compare, OneOf, SearchTest, Source, Term, Test},
    row::Subject,
    syntax::{Comparator, Field, Image, Search, Span, Step},
    text::Text,
    truth::Truth,
    value::Datum,
};

/// Boxed, so that the usual answer is small.
type Answer = Result<Truth, Box<EvalError>>;

impl Test {
    pub(crate) fn evaluate(&self, subject: &Subject<'_>) -> Answer {
        match self {
            Self::AnyOf(parts) => until(parts, Truth::True, |part| part.evaluate(subject)),
            Self::AllOf(parts) => until(parts, Truth::False, |part| part.evaluate(subject)),
            Self::Not(inner) => inner.evaluate(subject).map(|truth| !truth),
            Self::Compare(compare) => compare.evaluate(subject),
            Self::OneOf(one_of) => one_of.evaluate(subject),
            Self::Between(between) => between.evaluate(subject),
            Self::Search(search) => search.evaluate(subject),
            Self::IsNull(term) => Ok(term.read(subject).is_null().into()),
            Self::Changed(field) => Ok(changed(field, subject).into()),
            Self::ChangedTo(change) => change.evaluate_to(subject),
            Self::ChangedFrom(change) => change.evaluate_from(subject),
            Self::HasField(field) => Ok(find(field, subject).is_some().into()),
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
    fn evaluate(&self, subject: &Subject<'_>) -> Answer {
        compare(&self.left, self.left.read(subject), self.comparator, &self.right, self.right.read(subject))
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
    fn evaluate(&self, subject: &Subject<'_>) -> Answer {
        let left = self.term.read(subject);
        if left.is_null() {
            return Ok(Truth::Unknown);
        }
        until(&self.list, Truth::True, |candidate| {
            let right = candidate.read(subject);
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
    fn evaluate(&self, subject: &Subject<'_>) -> Answer {
        let term = self.term.read(subject);
        let bounds = [(&self.low, Comparator::GreaterOrEqual), (&self.high, Comparator::LessOrEqual)];
        until(&bounds, Truth::False, |(bound, comparator)| {
            let answer = compare(&self.term, term, *comparator, bound, bound.read(subject));
            answer.map_err(|mut error| {
                error.operator = "BETWEEN";
                error
            })
        })
    }
}

impl SearchTest {
    fn evaluate(&self, subject: &Subject<'_>) -> Answer {
        let (left, right) = (self.term.read(subject), self.sought.read(subject));
        if left.is_null() || right.is_null() {
            return Ok(Truth::Unknown);
        }
        let failed = |reason| {
            Err(Box::new(error(reason, self.search.as_str(), (&self.term, left), (&self.sought, right))))
        };
        let holds = match (self.search, left, right) {
            (Search::Contains, Datum::Array(Value::Array(elements)), sought) => {
                elements.iter().any(|element| sought.is_element(element))
            }
            (_, Datum::Text(text), Datum::Text(sought)) => match (self.search, &self.pattern) {
                (Search::Contains, _) => text.as_str().contains(sought.as_str()),
                (Search::StartsWith, _) => text.as_str().starts_with(sought.as_str()),
                (Search::EndsWith, _) => text.as_str().ends_with(sought.as_str()),
                (Search::Like, Some(pattern)) => pattern.matches(text.as_str()),
                (Search::Like, None) => match Pattern::read(sought.as_str()) {
                    Ok(pattern) => pattern.matches(text.as_str()),
                    Err(BadPattern::NothingEscaped) => return failed(Reason::BadPattern),
                    Err(BadPattern::TooLong) => return failed(Reason::LongPattern),
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
    fn evaluate_to(&self, subject: &Subject<'_>) -> Answer {
        let applies = match subject.row.kind {
            EventKind::Created => true,
            EventKind::Updated | EventKind::Custom => changed(&self.field, subject),
            EventKind::Deleted => false,
        };
        if !applies {
            return Ok(Truth::False);
        }
        self.equals("CHANGED_TO", find(&self.field, subject).into(), subject)
    }

    fn evaluate_from(&self, subject: &Subject<'_>) -> Answer {
        let applies = match subject.row.kind {
            EventKind::Deleted => true,
            EventKind::Updated | EventKind::Custom => changed(&self.field, subject),
            EventKind::Created => false,
        };
        if !applies {
            return Ok(Truth::False);
        }
        let Some(image) = subject.image(Some(Image::Old)) else {
            // The source named what changed and did not keep what it was.
            return Ok(Truth::Unknown);
        };
        self.equals("CHANGED_FROM", walk(&self.field, image).into(), subject)
    }

    /// Null is a value here: `CHANGED_TO(f, NULL)` means became null.
    fn equals(&self, function: &'static str, actual: Datum<'_>, subject: &Subject<'_>) -> Answer {
        let value = self.value.read(subject);
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
    fn read<'a>(&'a self, subject: &Subject<'a>) -> Datum<'a> {
        match &self.source {
            Source::Field(field) => find(field, subject).into(),
            Source::Event(field) => {
                subject.event_text(*field).map_or(Datum::Null, |text| Datum::Text(Text::of_row(text)))
            }
            Source::Text(text) => Datum::Text(text.borrow()),
            Source::Number(number) => Datum::Number(number.borrow()),
            Source::Boolean(boolean) => Datum::Boolean(*boolean),
            Source::Null => Datum::Null,
        }
    }

    fn party(&self, datum: Datum<'_>) -> Party {
        let is_literal = !matches!(self.source, Source::Field(_) | Source::Event(_));
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
fn find<'a>(field: &Field, subject: &Subject<'a>) -> Option<&'a Value> {
    walk(field, subject.image(field.image)?)
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
fn changed(field: &Field, subject: &Subject<'_>) -> bool {
    match (subject.row.kind, subject.row.old) {
        (EventKind::Created | EventKind::Deleted, _) => false,
        (EventKind::Updated | EventKind::Custom, Some(old)) if !field.steps.is_empty() => {
            let (before, after) = (walk(field, old), walk(field, subject.row.data));
            !number::same(before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null))
        }
        // Without the old image, only the names of the row's own fields are known to have changed.
        (EventKind::Updated | EventKind::Custom, _) => subject.row.changed.contains(&field.root.text),
    }
}
