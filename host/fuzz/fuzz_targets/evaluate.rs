//! Any condition on any row gives an answer or an error that can be shown: the first line is the condition, the rest
//! the event.

#![no_main]

use aftercommit_condition::{Condition, Row};
use aftercommit_core::EntityEvent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some((condition, event)) = text.split_once('\n') else { return };
    let Ok(condition) = Condition::parse(condition) else { return };
    let Ok(event) = serde_json::from_str::<EntityEvent>(event) else { return };
    let row = Row::from(&event);
    let answer = condition.evaluate(&row);
    assert_eq!(answer, condition.evaluate(&row));
    if let Err(error) = answer {
        assert!(!error.diagnostic().render(condition.source(), "fuzz", false).is_empty());
    }
});
