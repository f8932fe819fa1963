//! Texts that were written to break the parser.

use std::{fmt::Write as _, thread};

use aftercommit_condition::{Condition, MAX_BYTES, MAX_DEPTH};
use proptest::{prelude::*, sample::select};

/// Half of the stack that a test or a worker thread has, in a build without optimisation.
const STACK_BYTES: usize = 1024 * 1024;

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap().join().unwrap();
}

#[test]
fn the_deepest_condition_is_read_and_evaluated_on_a_small_stack() {
    on_a_small_stack(|| {
        let half = MAX_DEPTH / 2;
        let texts = [
            format!("{}a = 1{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH)),
            format!("{}a = 1", "NOT ".repeat(MAX_DEPTH)),
            format!("{}a = 1{}", "NOT (".repeat(half), ")".repeat(half)),
            format!("{}a = 1{}", "(b = 2 AND c = 3 OR ".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH)),
        ];
        let data = serde_json::json!({"a": 1, "b": 1, "c": 1});
        let event =
            aftercommit_core::EntityEvent::new(aftercommit_core::EventKind::Created, "Thing", 1, data);
        for text in texts {
            let condition = Condition::parse(&text).unwrap();
            assert!(condition.evaluate(&(&event).into()).unwrap().is_true(), "{text}");
            assert!(Condition::parse(&format!("({text})")).unwrap_err().message.contains("nests deeper"));
        }
    });
}

#[test]
fn lists_and_chains_do_not_nest() {
    let chain = vec!["NOT (a = 1)"; 300].join(" OR ");
    assert!(Condition::parse(&chain).is_ok());
    let lists = format!("{}a IN (1){}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    assert!(Condition::parse(&lists).is_ok());
    let negated = format!("{} a NOT IN (1) AND b = 2", "NOT ".repeat(MAX_DEPTH));
    assert!(Condition::parse(&negated).is_ok());
}

#[test]
fn repeated_openings_are_refused_at_once() {
    on_a_small_stack(|| {
        for opening in [
            "(",
            "NOT ",
            "NOT(",
            "a = 1 AND (",
            "a IN (",
            "f(",
            "f((",
            "\"",
            "'",
            "a[",
            "a.",
            "((a = 1) OR ",
            "-",
            "!",
        ] {
            let text = opening.repeat(MAX_BYTES / opening.len());
            let diagnostic = Condition::parse(&text).expect_err(opening);
            assert!(!diagnostic.render(&text, "hostile", false).is_empty());
        }
    });
}

#[test]
fn the_longest_texts_are_read() {
    let mut list = String::from("a IN (0");
    for number in 1.. {
        if list.len() > MAX_BYTES - 10 {
            break;
        }
        write!(list, ",{number}").unwrap();
    }
    list.push(')');
    assert!(Condition::parse(&list).is_ok());
    let text = format!("a = '{}'", "ä".repeat((MAX_BYTES - 6) / 2));
    assert_eq!(text.len(), MAX_BYTES);
    assert!(Condition::parse(&text).is_ok());
    assert!(Condition::parse(&format!("{text} ")).unwrap_err().message.contains("8193 bytes"));
}

/// Words of the language and of its neighbours.
const SOUP: [&str; 48] = [
    "a",
    "b.c",
    "items[0].sku",
    "OLD.a",
    "NEW.",
    "OLD",
    "EVENT.actor",
    "event.",
    "\"odd\"",
    "\"",
    "'text'",
    "''",
    "'",
    "1",
    "-2.5e3",
    "1.",
    ".5",
    "TRUE",
    "false",
    "NULL",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "CONTAINS",
    "STARTS_WITH",
    "ENDS_WITH",
    "IS",
    "(",
    ")",
    ",",
    "=",
    "!=",
    "<>",
    ">",
    "<=",
    "==",
    "&&",
    "!",
    "CHANGED",
    "CHANGED_TO(",
    "HAS_FIELD",
    "ä",
    "-",
    "\n",
    "[",
];

fn never_panics(text: &str) {
    match Condition::parse(text) {
        Ok(condition) => {
            let printed = condition.to_string();
            let again = Condition::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
            assert_eq!(again.to_string(), printed);
        }
        Err(diagnostic) => {
            assert!(text.get(diagnostic.span.range()).is_some(), "{text:?} {diagnostic:?}");
            assert!(!diagnostic.message.contains("expected rule"), "{diagnostic:?}");
            assert!(!diagnostic.render(text, "soup", true).is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_words_in_any_order(words in prop::collection::vec(select(&SOUP), 0..14), glue in select(&["", " "])) {
        never_panics(&words.join(glue));
    }

    #[test]
    fn any_text(text: String) {
        never_panics(&text);
    }

    #[test]
    fn a_condition_with_one_character_wrong(
        text in select(&[
            "total > 100 AND status = 'pending'",
            "NOT (customer.country IN ('FR', 'DE')) OR OLD.total < NEW.total",
            "CHANGED_TO(status, 'shipped') AND \"order-id\" BETWEEN 1 AND 2.5",
        ]),
        at: prop::sample::Index,
        character: char,
        replaces: bool,
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        if replaces {
            characters[at] = character;
        } else {
            characters.remove(at);
        }
        never_panics(&characters.into_iter().collect::<String>());
    }
}
