//! An observer built in Rust, an event processed, a summary printed.
//!
//! `cargo run --package aftercommit --example process_events`

use std::sync::Arc;

use aftercommit::{
    ActionConfig, BackoffStrategy, EntityEvent, EventKind, EventMatcher, FailurePolicy, ObserverDefinition,
    ObserverExecutor, RetryConfig, testing::MockDeadLetterQueue,
};
use serde_json::json;

#[tokio::main]
async fn main() -> aftercommit::Result<()> {
    let log =
        ActionConfig::new("log").with("message", "order {{entity_id}} by {{customer}}, total {{total}}");
    // Nobody listens on port 9 (discard): this action fails, and ends in the dead letter queue.
    let webhook = ActionConfig {
        grants: Some(json!({"private_network": true})),
        ..ActionConfig::new("webhook")
            .with("url", "http://127.0.0.1:9/hook")
            .with("body_template", r#"{"event": "{{entity_type}}", "id": "{{entity_id}}"}"#)
    };
    let observer = ObserverDefinition {
        entity_type: "Order".to_owned(),
        event_kind: Some(EventKind::Created),
        condition: Some("total > 100".to_owned()),
        on_failure: FailurePolicy::Dlq,
        retry: RetryConfig {
            max_attempts: 2,
            initial_delay_ms: 10,
            max_delay_ms: 100,
            backoff_strategy: BackoffStrategy::Exponential,
            jitter: 0.2,
        },
        actions: vec![log, webhook],
        ..ObserverDefinition::new("order-created")
    };

    let dlq = Arc::new(MockDeadLetterQueue::new());
    let executor = ObserverExecutor::new(EventMatcher::build([observer])?, dlq.clone()).await?;

    for total in [150, 50] {
        let data = json!({"id": 12345, "total": total, "customer": "Alice"});
        let event = EntityEvent::new(EventKind::Created, "Order", 12345, data);
        let summary = executor.process_event(&event).await?;
        println!(
            "total {total}: executed {} actions, {} succeeded, {} failed, {} conditions not true, {:.1} ms",
            summary.total_actions(),
            summary.successful_actions,
            summary.failed_actions,
            summary.conditions_skipped,
            summary.total_duration_ms,
        );
    }
    for item in dlq.items() {
        println!("dead letter: {} to {}: {}", item.event.entity_id, item.action.plugin, item.error_message);
    }
    assert_eq!(dlq.items().len(), 1);
    Ok(())
}
