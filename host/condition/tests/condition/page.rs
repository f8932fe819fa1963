//! The language's page, `docs/conditions.md`, checked against the language: its examples are run, and it leaves no word
//! out.

use aftercommit_condition::{Condition, Function, KEYWORDS, MAX_BYTES, MAX_DEPTH, Row, syntax::EventField};
use aftercommit_core::EntityEvent;

const PAGE: &str = include_str!("../../../../docs/conditions.md");
const GRAMMAR: &str = include_str!("../../src/condition.pest");

/// The lines of all `example` blocks.
fn examples() -> impl Iterator<Item = &'static str> {
    PAGE.split("```example\n").skip(1).flat_map(|block| block.split("```").next().unwrap_or_default().lines())
}

fn event(json: &str) -> EntityEvent {
    let mut event: serde_json::Value = serde_json::from_str(json).expect(json);
    event["entity_type"] = "Order".into();
    serde_json::from_value(event).expect(json)
}

/// In the words of the page.
fn result(condition: &str, event: &EntityEvent) -> String {
    match Condition::parse(condition) {
        Err(diagnostic) => format!("refused: {diagnostic}"),
        Ok(condition) => match condition.evaluate(&Row::from(event)) {
            Ok(truth) => truth.to_string(),
            Err(error) => format!("error: {error}"),
        },
    }
}

#[test]
fn every_example_is_true() {
    let mut current = None;
    let mut count = 0;
    for line in examples().filter(|line| !line.is_empty()) {
        if let Some(json) = line.strip_prefix("event ") {
            current = Some(event(json));
            continue;
        }
        let (condition, promised) = line.split_once("=>").expect(line);
        let (condition, promised) = (condition.trim(), promised.trim());
        let result = result(condition, current.as_ref().expect("an event comes first"));
        let kept = if promised.contains(':') { result.starts_with(promised) } else { result == promised };
        assert!(kept, "the page says {line}\nand the result is {result}");
        count += 1;
    }
    assert!(count > 100, "only {count} examples were found");
}

/// The words that the grammar reads in any case: `^"and"`.
fn grammar_words() -> Vec<String> {
    let mut words: Vec<String> = GRAMMAR
        .split("^\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_ascii_uppercase()))
        .collect();
    words.sort_unstable();
    words.dedup();
    words.retain(|word| word != "E");
    words
}

#[test]
fn every_word_is_described() {
    let mut known: Vec<&str> = KEYWORDS.into_iter().chain(["OLD", "NEW", "EVENT"]).collect();
    known.sort_unstable();
    assert_eq!(grammar_words(), known, "the grammar and the list of keywords");
    let described = |word: &str| PAGE.contains(&format!("`{word}`")) || PAGE.contains(&format!("`{word}("));
    for word in known.into_iter().chain(Function::ALL.map(Function::as_str)) {
        assert!(described(word), "{word} is not on the page");
    }
    for field in EventField::ALL {
        assert!(PAGE.contains(&format!("`{field}`")), "{field} is not on the page");
    }
    for operator in ["=", "!=", "<>", ">", ">=", "<", "<="] {
        assert!(PAGE.contains(&format!("`a {operator} b`")), "{operator} is not on the page");
    }
}

#[test]
fn the_limits_are_the_page_s() {
    assert!(PAGE.contains(&format!("({MAX_BYTES} bytes)")));
    assert!(PAGE.contains(&format!("nest at most {MAX_DEPTH} deep")));
}
