//! Several deliveries in one call: each has its own end, and what ends the call ends none of them for good.

use aftercommit_core::{EntityEvent, EventKind, FailureClass};
use aftercommit_runtime::{Attempt, BatchItem, ConfiguredAction, PreparedEvent};
use serde_json::{Value, json};

use crate::fixture::{configure, delivery, plugin, try_configure};

/// An action whose items answer as their rows say.
async fn action(more: Value) -> ConfiguredAction {
    let mut written = json!({"answer": "{{answer}}", "batch": {"max_items": 10}});
    written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    configure(&plugin("test/batch").await, written).await
}

fn events(answers: &[&str]) -> Vec<PreparedEvent> {
    let rows = answers.iter().map(|answer| json!({"answer": answer})).enumerate();
    rows.map(|(id, row)| PreparedEvent::new(EntityEvent::new(EventKind::Created, "Order", id, row))).collect()
}

async fn run(action: &ConfiguredAction, events: &[PreparedEvent]) -> Vec<Attempt> {
    let items: Vec<_> = events.iter().map(|event| BatchItem { event, delivery: delivery() }).collect();
    action.run_batch(&items).await
}

/// The summary of a success; class and code of a failure.
fn told(attempts: &[Attempt]) -> Vec<String> {
    let told = |attempt: &Attempt| match &attempt.result {
        Ok(outcome) => outcome.summary.clone(),
        Err(failure) => format!("{}: {}", failure.class, failure.problem.code),
    };
    attempts.iter().map(told).collect()
}

#[tokio::test]
async fn each_item_has_its_own_end() {
    let action = action(json!({})).await;
    let attempts = run(&action, &events(&["done", "permanent", "transient", "throttled", "done"])).await;
    assert_eq!(
        told(&attempts),
        ["0 of 5, attempt 1", "permanent: told", "transient: told", "throttled: told", "4 of 5, attempt 1"]
    );
    assert!(attempts[3].result.as_ref().unwrap_err().retry_after.is_some());
    assert!(run(&action, &[]).await.is_empty());
}

#[tokio::test]
async fn an_item_whose_template_does_not_render_fails_alone() {
    let action = action(json!({})).await;
    let mut events = events(&["done", "done", "done"]);
    events[1] = PreparedEvent::new(EntityEvent::new(EventKind::Created, "Order", 1, json!({})));
    let attempts = run(&action, &events).await;
    assert_eq!(told(&attempts), ["0 of 2, attempt 1", "permanent: template", "2 of 2, attempt 1"]);
    assert!(attempts[1].result.as_ref().unwrap_err().to_string().contains("/answer"), "{attempts:?}");
}

#[tokio::test]
async fn what_ends_the_call_is_transient_for_each_of_several_and_its_own_for_one() {
    let action = action(json!({"limits": {"cpu_ms": 20}})).await;
    for (answer, code, alone) in [
        ("trap", "plugin_trap", FailureClass::Transient),
        ("loop", "cpu_limit", FailureClass::Transient),
        ("missing", "batch_result", FailureClass::Permanent),
    ] {
        let attempts = run(&action, &events(&["done", answer, "done"])).await;
        assert_eq!(told(&attempts), vec![format!("transient: {code}"); 3], "{answer}");
        let message = attempts[0].result.as_ref().unwrap_err().problem.message.clone();
        assert!(message.starts_with("a call for 3 deliveries: "), "{message}");
        let attempts = run(&action, &events(&[answer])).await;
        assert_eq!(told(&attempts), [format!("{alone}: {code}")], "{answer}");
    }
    assert_eq!(told(&run(&action, &events(&["done"])).await), ["0 of 1, attempt 1"], "nothing of it is left");
}

#[tokio::test]
async fn a_single_run_is_a_batch_of_one_where_there_are_batches() {
    let event = &events(&["done"])[0];
    let batched = action(json!({})).await.run(event, delivery()).await;
    assert_eq!(told(&[batched]), ["0 of 1, attempt 1"]);
    let plain = configure(&plugin("test/batch").await, json!({"answer": "{{answer}}"})).await;
    assert_eq!(told(&[plain.run(event, delivery()).await]), ["alone"]);
}

#[tokio::test]
async fn what_each_may_do_adds_up_over_a_batch() {
    let action = action(json!({"limits": {"log_lines": 2, "host_calls": 2}})).await;
    let attempts = run(&action, &events(&["1", "4", "1"])).await;
    assert!(attempts.iter().all(|attempt| attempt.result.is_ok()), "{attempts:?}");
    assert_eq!((attempts[0].usage.log_lines, attempts[0].usage.log_dropped), (6, 0));
    let attempts = run(&action, &events(&["1", "6", "1"])).await;
    assert_eq!(told(&attempts), ["transient: host_call_limit"; 3]);
    assert_eq!(told(&run(&action, &events(&["3"])).await), ["permanent: host_call_limit"]);
}

#[tokio::test]
async fn large_items_share_no_more_than_the_guest_can_hold() {
    let action = action(json!({"limits": {"memory_mb": 8}})).await;
    let large = |id: usize| {
        let row = json!({"answer": "done", "text": "x".repeat(400 << 10)});
        PreparedEvent::new(EntityEvent::new(EventKind::Created, "Order", id, row))
    };
    let attempts = run(&action, &(0..5).map(large).collect::<Vec<_>>()).await;
    assert_eq!(
        told(&attempts),
        [
            "0 of 2, attempt 1",
            "1 of 2, attempt 1",
            "2 of 2, attempt 1",
            "3 of 2, attempt 1",
            "4 of 1, attempt 1"
        ]
    );
}

#[tokio::test]
async fn a_plugin_without_batches_and_bounds_beyond_them_are_refused() {
    let told = async |name: &str, written: Value| {
        try_configure(&plugin(name).await, written).await.expect_err("it is refused").to_string()
    };
    let without = told("test/echo", json!({"batch": {}})).await;
    assert!(without.starts_with("/batch: `test/echo` takes one delivery at a time"), "{without}");
    let beyond = json!({"answer": "done", "batch": {"max_items": 1001, "max_wait_ms": 70_000}});
    let told = told("test/batch", beyond).await;
    assert!(told.contains("/batch/max_items: must be from 1 to 1000"), "{told}");
    assert!(told.contains("/batch/max_wait_ms: must be from 0 to 60000"), "{told}");
}
