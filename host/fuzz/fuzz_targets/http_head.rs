//! `aftercommit_fuzz_targets::http_head` for cargo-fuzz.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aftercommit_fuzz_targets::http_head(input));
