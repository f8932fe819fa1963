//! `aftercommit_fuzz_targets::template` for cargo-fuzz.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aftercommit_fuzz_targets::template(input));
