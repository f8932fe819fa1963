//! What holds for every condition: it reads back as printed, and it says what the reference says.

use aftercommit_condition::{
    Condition, Row, Truth, parse,
    syntax::{Expression, ExpressionKind, Operand, Span},
};
use proptest::prelude::*;

use crate::{generate, reference};

/// The tree without its places.
fn placeless(mut expression: Expression) -> Expression {
    strip(&mut expression);
    expression
}

fn strip(expression: &mut Expression) {
    expression.span = Span::default();
    let operands: Vec<&mut Operand> = match &mut expression.kind {
        ExpressionKind::AnyOf(parts) | ExpressionKind::AllOf(parts) => {
            parts.iter_mut().for_each(strip);
            Vec::new()
        }
        ExpressionKind::Not(inner) => {
            strip(inner);
            Vec::new()
        }
        ExpressionKind::Comparison { left, right, .. } => vec![left, right],
        ExpressionKind::Membership { operand, list, .. } => list.iter_mut().chain([operand]).collect(),
        ExpressionKind::Range { operand, low, high, .. } => vec![operand, low, high],
        ExpressionKind::Search { operand, sought, .. } => vec![operand, sought],
        ExpressionKind::NullTest { operand, .. } => vec![operand],
        ExpressionKind::Call { function_span, arguments, .. } => {
            *function_span = Span::default();
            arguments.iter_mut().collect()
        }
    };
    for operand in operands {
        operand.span = Span::default();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_printed_reads_back(tree in generate::any_tree()) {
        let text = tree.to_string();
        let read = parse(&text).map_err(|error| TestCaseError::fail(error.render(&text, "printed", false)))?;
        prop_assert_eq!(&placeless(read), &tree, "{}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn says_what_the_reference_says(tree in generate::sound_tree(), event in generate::event()) {
        let text = tree.to_string();
        let condition = Condition::parse(&text)
            .map_err(|error| TestCaseError::fail(error.render(&text, "printed", false)))?;
        let row = Row::from(&event);
        let answer = condition.evaluate(&row);
        prop_assert_eq!(answer.clone().ok(), reference::evaluate(&tree, &row).ok(), "{} {:?} {:?}", text, event, answer);
        if let Err(error) = answer {
            prop_assert!(!error.diagnostic().render(&text, "printed", false).is_empty());
        }
    }
}

/// A generator that only ever made unknowns would prove nothing.
#[test]
fn all_answers_occur() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut counts = [0; 4];
    for _ in 0..2000 {
        let (tree, event) =
            (generate::sound_tree(), generate::event()).new_tree(&mut runner).unwrap().current();
        let index = match reference::evaluate(&tree, &Row::from(&event)) {
            Ok(Truth::True) => 0,
            Ok(Truth::False) => 1,
            Ok(Truth::Unknown) => 2,
            Err(reference::Misfit) => 3,
        };
        counts[index] += 1;
    }
    assert!(counts.iter().all(|count| *count > 100), "true, false, unknown, error: {counts:?}");
}
