//! Any two texts have an order, the same from both sides.

#![no_main]

use aftercommit_core::number::compare;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some((left, right)) = text.split_once(' ') else { return };
    assert_eq!(compare(left, right), compare(right, left).reverse());
    assert!(compare(left, left).is_eq());
});
