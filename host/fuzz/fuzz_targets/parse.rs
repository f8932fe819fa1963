//! Any text is a condition that prints and reads back as itself, or gets a diagnostic that can be shown.

#![no_main]

use aftercommit_condition::Condition;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Condition::parse(text) {
        Ok(condition) => {
            let printed = condition.to_string();
            // Printing may add spaces and quotes, and so pass the limit on length.
            if let Ok(again) = Condition::parse(&printed) {
                assert_eq!(again.to_string(), printed);
            } else {
                assert!(printed.len() > text.len(), "{printed}");
            }
        }
        Err(diagnostic) => {
            assert!(text.get(diagnostic.span.range()).is_some());
            assert!(!diagnostic.render(text, "fuzz", false).is_empty());
        }
    }
});
