//! What a condition costs: to evaluate, and to read.

use std::hint::black_box;

use aftercommit_condition::{Condition, Row, Truth};
use aftercommit_core::EntityEvent;
use serde_json::Value;

use crate::{
    figure::{self, Figure, ROUNDS, nanos_each},
    sample,
};

const THREE_CLAUSES: &str = "total > 100 AND status = 'shipped' AND country = 'AT'";
const CHANGED_TO: &str = "CHANGED_TO(status, 'shipped')";
const EVALUATIONS: u32 = 500_000;
const PARSES: u32 = 10_000;

pub(crate) fn measure() {
    figure::section("condition");
    let event = sample::event();
    evaluate("three clauses", THREE_CLAUSES, three_clauses, &event, Some("<= 150 ns"));
    evaluate("CHANGED_TO", CHANGED_TO, changed_to, &event, None);
    let mut parse = Figure::new("ns");
    for _ in 0..ROUNDS {
        parse
            .add(nanos_each(PARSES, || drop(black_box(Condition::parse(black_box(THREE_CLAUSES)).unwrap()))));
    }
    figure::print("three clauses, read and checked", &parse, None, None);
}

fn evaluate(
    name: &str,
    text: &str,
    by_hand: fn(&EntityEvent) -> bool,
    event: &EntityEvent,
    target: Option<&str>,
) {
    let condition = Condition::parse(text).unwrap();
    assert_eq!(condition.evaluate(&Row::from(event)), Ok(Truth::True));
    assert!(by_hand(event));
    let (mut evaluated, mut written) = (Figure::new("ns"), Figure::new("ns"));
    for _ in 0..ROUNDS {
        evaluated.add(nanos_each(EVALUATIONS, || {
            let _ = black_box(condition.evaluate(&Row::from(black_box(event))));
        }));
        written.add(nanos_each(EVALUATIONS, || {
            black_box(by_hand(black_box(event)));
        }));
    }
    figure::print(name, &evaluated, Some(("written in Rust", &written)), target);
}

/// As one would write it, with a number that has lost its digits.
fn three_clauses(event: &EntityEvent) -> bool {
    event.data["total"].as_f64().is_some_and(|total| total > 100.0)
        && event.data["status"].as_str() == Some("shipped")
        && event.data["country"].as_str() == Some("AT")
}

fn changed_to(event: &EntityEvent) -> bool {
    let was = event.old.as_ref().map(|old| &old["status"]);
    event.data["status"].as_str() == Some("shipped") && was.and_then(Value::as_str) != Some("shipped")
}
