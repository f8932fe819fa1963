//! `aftercommit_fuzz_targets::memcached_reply` for cargo-fuzz.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aftercommit_fuzz_targets::memcached_reply(input));
