//! `aftercommit_fuzz_targets::compile_to_sql` for cargo-fuzz.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aftercommit_fuzz_targets::compile_to_sql(input));
