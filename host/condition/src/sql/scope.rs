//! From a condition's tree to a test in SQL, for one kind of change.

use aftercommit_core::{EventKind, nearest};

use super::{
    ELSEWHERE, EventSql,
    compare::{self, List, Nulls},
    dialect::Dialect,
    test::{self, Test},
    value::{Arm, Number, Time, Value},
};
use crate::{
    calls::Call,
    diagnostic::Diagnostic,
    syntax::{
        Comparator, EventField, Expression, ExpressionKind, Field, Image, Operand, OperandKind, Search, Span,
    },
};

/// What a condition's names mean for one kind of change.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) dialect: &'a dyn Dialect,
    /// Of the table's columns.
    pub(super) names: &'a [&'a str],
    pub(super) kind: EventKind,
    pub(super) event: &'a EventSql<'a>,
}

impl Scope<'_> {
    pub(super) fn test(&self, expression: &Expression) -> Result<Test, Diagnostic> {
        let dialect = self.dialect;
        let parts =
            |parts: &[Expression]| parts.iter().map(|part| self.test(part)).collect::<Result<Vec<_>, _>>();
        Ok(match &expression.kind {
            ExpressionKind::AnyOf(inner) => test::any_of(parts(inner)?, dialect),
            ExpressionKind::AllOf(inner) => test::all_of(parts(inner)?, dialect),
            ExpressionKind::Not(inner) => self.test(inner)?.negated(true, dialect),
            ExpressionKind::Comparison { left, comparator, right } => {
                self.compare(left, *comparator, right, comparator.as_str())?
            }
            ExpressionKind::Membership { operand, negated, list } => {
                self.membership(operand, list)?.negated(*negated, dialect)
            }
            ExpressionKind::Range { operand, negated, low, high } => {
                let bounds = vec![
                    self.compare(operand, Comparator::GreaterOrEqual, low, "BETWEEN")?,
                    self.compare(operand, Comparator::LessOrEqual, high, "BETWEEN")?,
                ];
                test::all_of(bounds, dialect).negated(*negated, dialect)
            }
            ExpressionKind::Search { operand, negated, search, sought } => {
                self.search(operand, *search, sought)?.negated(*negated, dialect)
            }
            ExpressionKind::NullTest { operand, negated } => {
                let null = self.value(operand)?.null;
                let truth = null.unwrap_or_else(|| dialect.boolean(false).to_owned());
                Test::Truth(truth).negated(*negated, dialect)
            }
            ExpressionKind::Call { function, function_span, arguments } => {
                let call = Call::resolve(function, *function_span, arguments, expression.span)?;
                self.call(call, arguments.first().map_or(expression.span, |field| field.span))?
            }
        })
    }

    fn compare(
        &self,
        left: &Operand,
        comparator: Comparator,
        right: &Operand,
        operator: &str,
    ) -> Result<Test, Diagnostic> {
        let (first, second) = (self.visible(left)?, self.visible(right)?);
        if is_null(left, &first) || is_null(right, &second) {
            return Ok(self.unknown());
        }
        share_type(left, &first, operator, right, &second)?;
        if !comparator.is_equality() {
            ordered(left, &first, operator)?;
            ordered(right, &second, operator)?;
        }
        Ok(compare::compare(self.dialect, &first, comparator, &second, Nulls::Unknown))
    }

    fn membership(&self, operand: &Operand, list: &[Operand]) -> Result<Test, Diagnostic> {
        let left = self.visible(operand)?;
        if is_null(operand, &left) {
            return Ok(self.unknown());
        }
        for candidate in list {
            let right = self.visible(candidate)?;
            if !is_null(candidate, &right) {
                share_type(operand, &left, "IN", candidate, &right)?;
            }
        }
        if let Some(list) = self.literals(&left, list) {
            return Ok(compare::one_of(self.dialect, &left, &list));
        }
        let tests = list.iter().map(|candidate| self.compare(operand, Comparator::Equal, candidate, "IN"));
        Ok(test::any_of(tests.collect::<Result<_, _>>()?, self.dialect))
    }

    /// A list that the database can look through at once: literals of one type, and no date-times to compare.
    fn literals(&self, left: &Value, list: &[Operand]) -> Option<List> {
        let never_time = left.text.as_ref().is_some_and(|text| matches!(text.value.time, Time::Never));
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for candidate in list {
            match &candidate.kind {
                OperandKind::Null => {
                    numbers.push("NULL".to_owned());
                    texts.push("NULL".to_owned());
                }
                OperandKind::Number(number) => {
                    let sql = self.dialect.number(number)?;
                    let literal = Number { sql: sql.clone(), literal: Some(number.clone()) };
                    // Only where this number is compared without more ado, as others are.
                    let arm = left.number.as_ref()?;
                    let plain = self.dialect.compare_numbers(&arm.value, Comparator::Equal, &literal);
                    matches!(plain, Test::Truth(_)).then(|| numbers.push(sql))?;
                }
                OperandKind::Text(text) => {
                    let is_time = crate::instant::read(text).is_some();
                    (never_time || !is_time).then(|| texts.push(self.dialect.text(text)))?;
                }
                _ => return None,
            }
        }
        let has = |wanted: fn(&OperandKind) -> bool| list.iter().any(|candidate| wanted(&candidate.kind));
        match (
            has(|kind| matches!(kind, OperandKind::Number(_))),
            has(|kind| matches!(kind, OperandKind::Text(_))),
        ) {
            (true, false) => Some(List::Numbers(numbers)),
            (false, true) => Some(List::Texts(texts)),
            _ => None,
        }
    }

    fn search(&self, operand: &Operand, search: Search, sought: &Operand) -> Result<Test, Diagnostic> {
        let (left, right) = (self.visible(operand)?, self.visible(sought)?);
        let pattern = match &sought.kind {
            OperandKind::Text(pattern) => Some(pattern.as_str()),
            OperandKind::Null => None,
            _ if search == Search::Like => {
                return Err(refused(
                    sought.span,
                    "in a capture the pattern of LIKE is a text of the condition",
                    "the pattern is known in each row only",
                ));
            }
            _ => None,
        };
        if is_null(operand, &left) || is_null(sought, &right) {
            return Ok(self.unknown());
        }
        for (operand, value) in [(operand, &left), (sought, &right)] {
            if !value.text.as_ref().is_some_and(|text| text.usual) {
                return Err(never(operand, value, &format!("`{}` works on texts", search.as_str())));
            }
        }
        Ok(compare::search(self.dialect, &left, search, &right, pattern))
    }

    fn call(&self, call: Call<'_>, span: Span) -> Result<Test, Diagnostic> {
        let truth = |value| Test::Truth(self.dialect.boolean(value).to_owned());
        Ok(match call {
            Call::HasField(field) => {
                let exists = field.steps.is_empty() && self.names.contains(&field.root.text.as_str());
                if !field.steps.is_empty() {
                    self.field(field, span)?;
                }
                truth(exists && self.row(field.image).is_some())
            }
            Call::Changed(field) => {
                let changed = self.changed(field, span)?;
                if self.kind == EventKind::Updated { changed } else { truth(false) }
            }
            Call::ChangedTo(field, span, value) => {
                let became = self.became(field, "NEW", "CHANGED_TO", span, value)?;
                match self.kind {
                    EventKind::Created => became,
                    EventKind::Updated => {
                        test::all_of(vec![self.changed(field, span)?, became], self.dialect)
                    }
                    _ => truth(false),
                }
            }
            Call::ChangedFrom(field, span, value) => {
                let was = self.became(field, "OLD", "CHANGED_FROM", span, value)?;
                match self.kind {
                    EventKind::Deleted => was,
                    EventKind::Updated => test::all_of(vec![self.changed(field, span)?, was], self.dialect),
                    _ => truth(false),
                }
            }
        })
    }

    fn changed(&self, field: &Field, span: Span) -> Result<Test, Diagnostic> {
        let (before, after) = (self.column(field, "OLD", span)?, self.column(field, "NEW", span)?);
        match before.opaque {
            Some(why) if before.document.is_none() => Err(opaque(span, &field.to_string(), why)),
            _ => Ok(compare::differs(self.dialect, &before, &after)),
        }
    }

    /// Whether the field equals the value in one image, where null is a value.
    fn became(
        &self,
        field: &Field,
        row: &str,
        function: &str,
        span: Span,
        value: &Operand,
    ) -> Result<Test, Diagnostic> {
        let actual = self.column(field, row, span)?;
        let wanted = self.visible(value)?;
        let operand = Operand { kind: OperandKind::Field(field.clone()), span };
        if is_null(value, &wanted) {
            return Ok(Test::Truth(actual.null.unwrap_or_else(|| self.dialect.boolean(false).to_owned())));
        }
        if let Some(why) = actual.opaque {
            return Err(opaque(span, &field.to_string(), why));
        }
        share_type(&operand, &actual, function, value, &wanted)?;
        Ok(compare::compare(self.dialect, &actual, Comparator::Equal, &wanted, Nulls::Equal))
    }

    fn unknown(&self) -> Test {
        Test::Truth(self.dialect.unknown().to_owned())
    }

    /// A value that is compared.
    fn visible(&self, operand: &Operand) -> Result<Value, Diagnostic> {
        let value = self.value(operand)?;
        match value.opaque {
            Some(why) => Err(opaque(operand.span, &operand.to_string(), why)),
            None => Ok(value),
        }
    }

    fn value(&self, operand: &Operand) -> Result<Value, Diagnostic> {
        let dialect = self.dialect;
        Ok(match &operand.kind {
            OperandKind::Null => Value::null(dialect.boolean(true)),
            OperandKind::Boolean(value) => Value::of_boolean(dialect.boolean(*value).to_owned(), None),
            OperandKind::Text(text) if text.contains('\0') => {
                return Err(refused(
                    operand.span,
                    "a text in SQL has no character U+0000",
                    "has the character U+0000",
                ));
            }
            OperandKind::Text(text) => Value::of_literal(text, dialect.text(text)),
            OperandKind::Number(number) => {
                let sql = dialect.number(number).ok_or_else(|| {
                    refused(
                        operand.span,
                        "the database cannot compare with this number exactly",
                        "too many digits, or too great or small",
                    )
                })?;
                let number = Number { sql, literal: Some(number.clone()) };
                Value { number: Some(Arm::always(number)), ..Value::default() }
            }
            OperandKind::Field(field) => self.field(field, operand.span)?,
            OperandKind::Event(field) => self.event_field(*field),
        })
    }

    fn event_field(&self, field: EventField) -> Value {
        let expression = match field {
            EventField::EntityType => {
                return Value::of_literal(self.event.entity_type, self.dialect.text(self.event.entity_type));
            }
            EventField::EventKind => {
                return Value::of_literal(self.kind.as_str(), self.dialect.text(self.kind.as_str()));
            }
            EventField::OccurredAt => {
                return Value::of_text(self.event.occurred_at.to_owned(), Time::Maybe, None);
            }
            EventField::EntityId if self.kind == EventKind::Deleted => self.event.old_entity_id,
            EventField::EntityId => self.event.new_entity_id,
            EventField::Actor => self.event.actor,
            EventField::TenantId => self.event.tenant_id,
            EventField::Traceparent => self.event.traceparent,
        };
        Value::of_text(expression.to_owned(), Time::Maybe, Some(format!("({expression} IS NULL)")))
    }

    fn field(&self, field: &Field, span: Span) -> Result<Value, Diagnostic> {
        // Looked up for every kind of change, so that a mistake is refused for all.
        let value = self.column(field, self.row(field.image).unwrap_or("NEW"), span)?;
        Ok(match self.row(field.image) {
            Some(_) => value,
            None => Value { opaque: value.opaque, ..Value::null(self.dialect.boolean(true)) },
        })
    }

    /// What the image is called in SQL; `None` when this kind of change has none.
    fn row(&self, image: Option<Image>) -> Option<&'static str> {
        match (image, self.kind) {
            (Some(Image::Old), EventKind::Created) | (Some(Image::New), EventKind::Deleted) => None,
            (Some(Image::Old), _) | (None, EventKind::Deleted) => Some("OLD"),
            (Some(Image::New) | None, _) => Some("NEW"),
        }
    }

    fn column(&self, field: &Field, row: &str, span: Span) -> Result<Value, Diagnostic> {
        let name = &field.root.text;
        let Some(value) = self.dialect.column(row, name) else {
            let diagnostic =
                Diagnostic::error(span, format!("the table has no column {name}"), "not a column");
            return Err(match nearest(name, self.names.iter().copied()) {
                Some(meant) => diagnostic.help(format!("did you mean {meant}?")),
                None => diagnostic.help(format!("the columns are {}", self.names.join(", "))),
            });
        };
        if !field.steps.is_empty() {
            return Err(refused(
                span,
                "a capture compares whole columns, and does not look into their values",
                "a path into a column",
            ));
        }
        Ok(value)
    }
}

/// Whether it is NULL itself, or a field of an image that this kind of change does not have.
fn is_null(operand: &Operand, value: &Value) -> bool {
    operand.kind == OperandKind::Null || value.types().is_empty()
}

fn refused(span: Span, message: &str, label: &str) -> Diagnostic {
    Diagnostic::error(span, message, label).help(ELSEWHERE)
}

fn opaque(span: Span, operand: &str, why: &str) -> Diagnostic {
    refused(span, &format!("a capture cannot compare {operand}, {why}"), "only IS NULL and HAS_FIELD see it")
}

/// Refuses two values that have no type in common: that would be an error for every row.
fn share_type(
    left: &Operand,
    first: &Value,
    operator: &str,
    right: &Operand,
    second: &Value,
) -> Result<(), Diagnostic> {
    let (left_types, right_types) = (first.types(), second.types());
    if left_types.iter().any(|kind| right_types.contains(kind)) {
        return Ok(());
    }
    let (Some(left_type), Some(right_type)) = (left_types.first(), right_types.first()) else {
        return Ok(());
    };
    Err(Diagnostic::error(
        right.span,
        format!("`{operator}` cannot compare {left} and {right}: one is {left_type}, the other {right_type}"),
        format!("this is {right_type}"),
    )
    .help("all values of one comparison have the same type"))
}

/// Refuses a value that never has an order.
fn ordered(operand: &Operand, value: &Value, operator: &str) -> Result<(), Diagnostic> {
    if value.number.is_some() || value.text.is_some() {
        return Ok(());
    }
    Err(never(operand, value, &format!("`{operator}` orders only numbers and texts")))
}

fn never(operand: &Operand, value: &Value, message: &str) -> Diagnostic {
    let label = value.types().first().map_or_else(String::new, |kind| format!("this is {kind}"));
    Diagnostic::error(operand.span, format!("{message}, and {operand} is none"), label)
}
