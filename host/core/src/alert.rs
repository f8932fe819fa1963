//! Alerts: a person is told that a delivery failed for good.
//!
//! An alert is an event of its own, which nothing but the alert action of its observer sees; so it travels like every
//! other event. That action's failures are logged and never alerted: alerts do not breed alerts. The event's id names a
//! span of time, and ids are unique: so there is one alert in each, however many deliveries fail on however many hosts.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::{
    delivery::DeliveryId,
    event::{EntityEvent, EventKind},
    outcome::Failure,
    time::Timestamp,
};

/// The entity type of alerts. Their entity id is the observer's name, their kind `custom`.
pub const ALERT_ENTITY_TYPE: &str = "observer_alert";

/// What failed for good.
#[derive(Clone, PartialEq, Debug)]
pub struct Alert<'a> {
    /// Name of the observer.
    pub observer: &'a str,
    /// Name of the action within the observer.
    pub action: &'a str,
    /// Name of the action's plugin.
    pub action_type: &'a str,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The last attempt.
    pub attempt: u32,
    /// Why.
    pub failure: &'a Failure,
    /// The event that was not delivered.
    pub event: &'a EntityEvent,
    /// How many more failed since the last alert and were not told.
    pub suppressed: u64,
}

impl Alert<'_> {
    /// The event that tells of it: the same id for each alert of the observer within one of the spans of `interval` that
    /// follow each other since 1970.
    #[must_use]
    pub fn into_event(self, now: Timestamp, interval: Duration) -> EntityEvent {
        let problem = &self.failure.problem;
        let data = json!({
            "observer": self.observer,
            "action": self.action,
            "action_type": self.action_type,
            "delivery_id": self.delivery_id,
            "attempts": self.attempt,
            "class": self.failure.class,
            "code": problem.code.as_str(),
            "message": problem.message,
            "http_status": problem.status,
            "suppressed": self.suppressed,
            "event": self.event,
        });
        let mut event = EntityEvent::new(EventKind::Custom, ALERT_ENTITY_TYPE, self.observer, data);
        let (interval, span) = (interval.as_micros(), alert_span(now, interval));
        event.id = Uuid::new_v5(
            &Uuid::NAMESPACE_OID,
            format!("aftercommit alert {interval} {span} {}", self.observer).as_bytes(),
        );
        event.occurred_at = now;
        event.tenant_id.clone_from(&self.event.tenant_id);
        event.traceparent.clone_from(&self.event.traceparent);
        event
    }
}

/// Which of the spans that follow each other since 1970.
#[must_use]
pub fn alert_span(now: Timestamp, interval: Duration) -> u128 {
    u128::from(now.as_micros().unsigned_abs()) / interval.as_micros().max(1)
}

/// Whether an event is an alert, and of which observer.
#[must_use]
pub fn alert_of(event: &EntityEvent) -> Option<&str> {
    let is_alert = event.event_kind == EventKind::Custom && event.entity_type == ALERT_ENTITY_TYPE;
    is_alert.then_some(&event.entity_id)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{FailureClass, Problem};

    fn event(observer: &str, micros: i64) -> EntityEvent {
        let failure = Failure::new(FailureClass::Permanent, Problem::of_plugin("gone", "it is gone"));
        let failed = EntityEvent::new(EventKind::Created, "Order", 7, json!({"total": 1}));
        let alert = Alert {
            observer,
            action: "webhook",
            action_type: "webhook",
            delivery_id: DeliveryId::of(failed.id, observer, "webhook"),
            attempt: 3,
            failure: &failure,
            event: &failed,
            suppressed: 2,
        };
        alert.into_event(Timestamp::from_micros(micros), Duration::from_mins(1))
    }

    #[test]
    fn one_id_for_each_observer_and_span() {
        let first = event("a", 0);
        assert_eq!(first.id, event("a", 59_999_999).id);
        assert_ne!(first.id, event("a", 60_000_000).id);
        assert_ne!(first.id, event("b", 0).id);
        assert_eq!(alert_of(&first), Some("a"));
    }

    #[test]
    fn it_says_what_failed_and_why() {
        let data = event("a", 0).data;
        assert_eq!(data["message"], "it is gone");
        assert_eq!(data["event"]["data"]["total"], 1);
        assert_eq!(data["suppressed"], Value::from(2));
    }

    #[test]
    fn a_row_that_happens_to_be_called_so_is_no_alert() {
        let row = EntityEvent::new(EventKind::Created, ALERT_ENTITY_TYPE, "a", json!({}));
        assert_eq!(alert_of(&row), None);
    }
}
