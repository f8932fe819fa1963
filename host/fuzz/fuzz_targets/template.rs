//! Any text is a template that renders within its bounds, or gets a diagnostic, whatever row it is rendered over.

#![no_main]

use aftercommit_runtime::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| fuzzing::template(input.0, input.1));
