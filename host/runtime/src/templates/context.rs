//! What a template sees of an event.

use aftercommit_core::{EntityEvent, alert_of};
use handlebars::Context;
use serde_json::{Map, Value, json};

use super::Roots;

/// The row's fields, and the event's own names over them. A field of the row that has such a name is in `data`. A row can be large:
/// only what `roots` name is copied.
pub(crate) fn context(event: &EntityEvent, roots: &Roots) -> Context {
    let row = event.data.as_object().into_iter().flatten();
    let mut names: Map<String, Value> =
        row.filter(|(name, _)| roots.has(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut set = |name: &str, value: &dyn Fn() -> Value| {
        if roots.has(name) {
            names.insert(name.to_owned(), value());
        }
    };
    set("event_id", &|| event.id.to_string().into());
    set("entity_type", &|| event.entity_type.clone().into());
    set("entity_id", &|| event.entity_id.clone().into());
    set("event_kind", &|| event.event_kind.as_str().into());
    set("occurred_at", &|| event.occurred_at.to_string().into());
    set("changed", &|| event.changed.clone().into());
    set("data", &|| event.data.clone());
    // An alert tells of another event, under this name.
    set("event", &|| if alert_of(event).is_some() { told(event) } else { about(event) });
    match &event.old {
        Some(old) => set("old", &|| old.clone()),
        // A field of the row that is called so must not be taken for the row before.
        None => {
            names.remove("old");
        }
    }
    Context::from(Value::Object(names))
}

/// What conditions see as `EVENT`, under the same names; null where it is absent.
fn about(event: &EntityEvent) -> Value {
    json!({
        "actor": event.actor,
        "tenant_id": event.tenant_id,
        "traceparent": event.traceparent,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "event_kind": event.event_kind,
        "occurred_at": event.occurred_at,
    })
}

/// The event that an alert tells of, with null for what it does not have.
fn told(alert: &EntityEvent) -> Value {
    let mut fields = match about(alert) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.values_mut().for_each(|value| *value = Value::Null);
    if let Some(event) = alert.data.get("event").and_then(Value::as_object) {
        fields.extend(event.clone());
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use aftercommit_core::EventKind;

    use super::*;

    #[test]
    fn the_event_is_seen_over_the_row() {
        let data = json!({"event": {"actor": "row"}, "entity_type": "column"});
        let mut event = EntityEvent::new(EventKind::Updated, "Order", 7, data.clone());
        event.actor = Some("ada".to_owned());
        let context = context(&event, &Roots::All);
        let seen = context.data();
        let occurred_at = event.occurred_at.to_string();
        let about = json!({
            "actor": "ada", "tenant_id": null, "traceparent": null, "entity_type": "Order", "entity_id": "7",
            "event_kind": "updated", "occurred_at": occurred_at,
        });
        assert_eq!(seen["event"], about);
        assert_eq!((&seen["entity_type"], &seen["data"]), (&json!("Order"), &data));
    }

    #[test]
    fn an_alert_shows_the_event_that_it_tells_of() {
        let data = json!({"event": {"entity_type": "Order", "data": {"total": 7.25}}});
        let alert = EntityEvent::new(EventKind::Custom, "observer_alert", "watcher", data);
        let context = context(&alert, &Roots::All);
        let event = &context.data()["event"];
        assert_eq!((&event["entity_type"], &event["data"]["total"]), (&json!("Order"), &json!(7.25)));
        assert_eq!(event["actor"], Value::Null);
    }
    #[test]
    fn only_what_is_named_is_copied() {
        let data = json!({"total": 7.25, "body": "large", "old": 1});
        let event = EntityEvent::new(EventKind::Created, "Order", 7, data);
        let names = ["total", "entity_id", "old", "missing"].map(str::to_owned);
        let context = context(&event, &Roots::Named(names.into()));
        assert_eq!(context.data(), &json!({"total": 7.25, "entity_id": "7"}));
    }
}
