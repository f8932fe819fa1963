//! Which failures are told to a person, and which only counted: one alert an observer in each span of time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aftercommit_core::{Alert, DeliveryId, EntityEvent, Failure, Timestamp, alert_span};

use crate::observers::Action;

/// A delivery that failed for good, of an observer that alerts.
pub(crate) struct Untold {
    observer: Arc<str>,
    action: Arc<str>,
    action_type: Arc<str>,
    delivery_id: DeliveryId,
    attempt: u32,
    failure: Failure,
    event: Arc<EntityEvent>,
    /// None where the observer has no action that tells a person: then the log does.
    interval: Option<Duration>,
}

impl Untold {
    pub(crate) fn of(
        action: &Action,
        delivery_id: DeliveryId,
        attempt: u32,
        failure: &Failure,
        event: &Arc<EntityEvent>,
    ) -> Self {
        Self {
            observer: Arc::clone(&action.observer),
            action: Arc::clone(&action.name),
            action_type: Arc::clone(&action.plugin),
            delivery_id,
            attempt,
            failure: failure.clone(),
            event: Arc::clone(event),
            interval: action.policy.alert_interval,
        }
    }
}

/// What was told, by observer. What other hosts told is not known here: the alert's id finds that out.
#[derive(Default)]
pub(crate) struct Alerts(HashMap<Arc<str>, Told>);

struct Told {
    span: u128,
    suppressed: u64,
}

impl Alerts {
    /// The event that tells of a failure; none if another was told in this span of time, or no action tells.
    pub(crate) fn raise(&mut self, untold: &Untold, now: Timestamp) -> Option<EntityEvent> {
        let interval = untold.interval?;
        let span = alert_span(now, interval);
        let suppressed = match self.0.get_mut(&untold.observer) {
            Some(told) if told.span == span => {
                told.suppressed += 1;
                return None;
            }
            Some(told) => std::mem::replace(told, Told { span, suppressed: 0 }).suppressed,
            None => {
                self.0.insert(Arc::clone(&untold.observer), Told { span, suppressed: 0 });
                0
            }
        };
        let alert = Alert {
            observer: &untold.observer,
            action: &untold.action,
            action_type: &untold.action_type,
            delivery_id: untold.delivery_id,
            attempt: untold.attempt,
            failure: &untold.failure,
            event: &untold.event,
            suppressed,
        };
        Some(alert.into_event(now, interval))
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_core::{FailureClass, Problem};

    use super::*;
    use crate::sample;

    #[test]
    fn one_is_told_and_the_others_are_counted() {
        let event = sample::event();
        let untold = |observer: &str| Untold {
            observer: observer.into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            delivery_id: DeliveryId::of(event.id, observer, "hook"),
            attempt: 3,
            failure: Failure::new(FailureClass::Permanent, Problem::of_plugin("gone", "gone")),
            event: Arc::clone(&event),
            interval: Some(Duration::from_mins(1)),
        };
        let mut alerts = Alerts::default();
        let mut raise = |observer: &str, secs: i64| {
            let event = alerts.raise(&untold(observer), Timestamp::from_micros(secs * 1_000_000));
            event.map(|event| event.data["suppressed"].as_u64().unwrap())
        };
        assert_eq!([raise("a", 1), raise("a", 2), raise("a", 59)], [Some(0), None, None]);
        assert_eq!(raise("b", 30), Some(0), "each observer has its own");
        assert_eq!([raise("a", 60), raise("a", 61), raise("a", 180)], [Some(2), None, Some(1)]);
    }
}
