//! Evaluation allocates nothing. Alone in its binary, because it replaces the allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use aftercommit_condition::{Condition, Row};
use aftercommit_core::{EntityEvent, EventKind};
use serde_json::json;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator can be replaced only through an unsafe trait; this one forwards to the system's"
)]
// SAFETY: every method forwards to `System` with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn evaluation_does_not_allocate() {
    let data = json!({
        "total": 150.5, "status": "pending", "tags": ["a", "b"], "customer": {"address": {"city": "Lyon"}},
        "items": [{"sku": "a-1"}], "long": 1,
    });
    let old = json!({"total": 90, "status": "new", "customer": {"address": {"city": "Paris"}}});
    let mut event = EntityEvent::new(EventKind::Updated, "Order", 1, data).with_old(old);
    event.actor = Some("ada".to_owned());
    let row = Row::from(&event);
    for text in [
        "total > 100 AND status = 'pending'",
        "total > 0.0000000000000000000000000000000000000001 AND total < 1e999999999",
        "CHANGED_TO(status, 'pending') AND CHANGED_FROM(total, 90) AND CHANGED(customer.address.city)",
        "NOT (customer.address.city IN ('Rome', 'Oslo')) AND OLD.total < NEW.total",
        "status LIKE '%end_ng' AND status CONTAINS 'end' AND tags CONTAINS 'b' AND items[0].sku STARTS_WITH 'a'",
        "EVENT.actor = 'ada' AND EVENT.tenant_id IS NULL AND EVENT.occurred_at > '2026' AND EVENT.entity_id = '1'",
        "EVENT.occurred_at > '2001-01-01T00:00:00.123456789012345+01:00' AND EVENT.occurred_at != '2001-01-01T00:00:00Z'",
        "total BETWEEN 100 AND 200 AND HAS_FIELD(tags) AND missing IS NULL AND status ENDS_WITH 'ing'",
    ] {
        let condition = Condition::parse(text).unwrap();
        let before = ALLOCATIONS.get();
        let answer = condition.evaluate(&row);
        let allocations = ALLOCATIONS.get() - before;
        assert!(answer.is_ok_and(aftercommit_condition::Truth::is_true), "{text}");
        assert_eq!(allocations, 0, "{text}");
    }
    // The counter counts.
    let before = ALLOCATIONS.get();
    drop(Box::new(before));
    assert!(ALLOCATIONS.get() > before);
}
