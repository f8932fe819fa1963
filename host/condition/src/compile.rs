//! From the checked tree to the program.

use aftercommit_core::number::Decimal;

use crate::{
    calls::Call,
    diagnostic::Diagnostic,
    like::Pattern,
    program::{Between, ChangedValue, Compare, OneOf, SearchTest, Source, Term, Test},
    syntax::{Expression, ExpressionKind, Field, Operand, OperandKind, Search, Span},
    text::Text,
};

/// Refuses only what [`check`](crate::check) refuses.
pub(crate) fn compile(expression: &Expression) -> Result<Test, Diagnostic> {
    Ok(match &expression.kind {
        ExpressionKind::AnyOf(parts) => Test::AnyOf(parts.iter().map(compile).collect::<Result<_, _>>()?),
        ExpressionKind::AllOf(parts) => Test::AllOf(parts.iter().map(compile).collect::<Result<_, _>>()?),
        ExpressionKind::Not(inner) => negated(true, compile(inner)?),
        ExpressionKind::Comparison { left, comparator, right } => {
            Test::Compare(Box::new(Compare { left: term(left), comparator: *comparator, right: term(right) }))
        }
        ExpressionKind::Membership { operand, negated: not, list } => {
            let list = list.iter().map(term).collect();
            negated(*not, Test::OneOf(Box::new(OneOf { term: term(operand), list })))
        }
        ExpressionKind::Range { operand, negated: not, low, high } => {
            let between = Between { term: term(operand), low: term(low), high: term(high) };
            negated(*not, Test::Between(Box::new(between)))
        }
        ExpressionKind::Search { operand, negated: not, search, sought } => {
            let pattern = match (&sought.kind, search) {
                (OperandKind::Text(pattern), Search::Like) => Pattern::read(pattern).ok(),
                _ => None,
            };
            let test = SearchTest { term: term(operand), search: *search, sought: term(sought), pattern };
            negated(*not, Test::Search(Box::new(test)))
        }
        ExpressionKind::NullTest { operand, negated: not } => {
            negated(*not, Test::IsNull(Box::new(term(operand))))
        }
        ExpressionKind::Call { function, function_span, arguments } => {
            match Call::resolve(function, *function_span, arguments, expression.span)? {
                Call::Changed(field) => Test::Changed(Box::new(field.clone())),
                Call::HasField(field) => Test::HasField(Box::new(field.clone())),
                Call::ChangedTo(field, span, value) => Test::ChangedTo(changed_value(field, span, value)),
                Call::ChangedFrom(field, span, value) => Test::ChangedFrom(changed_value(field, span, value)),
            }
        }
    })
}

/// Two negations are none, in three-valued logic too.
fn negated(not: bool, test: Test) -> Test {
    match (not, test) {
        (false, test) => test,
        (true, Test::Not(inner)) => *inner,
        (true, test) => Test::Not(Box::new(test)),
    }
}

fn changed_value(field: &Field, field_span: Span, value: &Operand) -> Box<ChangedValue> {
    Box::new(ChangedValue { field: field.clone(), field_span, value: term(value) })
}

fn term(operand: &Operand) -> Term {
    let source = match &operand.kind {
        OperandKind::Text(text) => Source::Text(Text::literal(text)),
        OperandKind::Number(number) => Source::Number(Decimal::new(number.as_str().into())),
        OperandKind::Boolean(boolean) => Source::Boolean(*boolean),
        OperandKind::Null => Source::Null,
        OperandKind::Field(field) => Source::Field(field.clone()),
        OperandKind::Event(field) => Source::Event(*field),
    };
    Term { source, span: operand.span }
}
