//! An event as guests receive it: its JSON texts are made once, however many actions it runs.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use aftercommit_core::EntityEvent;
use handlebars::Context;

use crate::{
    bindings::aftercommit::action::model::Event,
    secrets::{Handles, neutralise},
    templates::{self, Roots},
};

/// An event for any number of actions. What they need of it is made when the first of them runs.
pub struct PreparedEvent {
    original: Arc<EntityEvent>,
    seen: OnceLock<Seen>,
    context: OnceLock<Context>,
}

/// The event as guests and templates see it.
struct Seen {
    event: Arc<EntityEvent>,
    record: Arc<Event>,
}

impl PreparedEvent {
    /// Prepares an event.
    pub fn new(event: impl Into<Arc<EntityEvent>>) -> Self {
        Self { original: event.into(), seen: OnceLock::new(), context: OnceLock::new() }
    }

    /// The event.
    pub fn event(&self) -> &EntityEvent {
        &self.original
    }

    /// What guests see.
    pub(crate) fn record(&self) -> &Arc<Event> {
        &self.seen().record
    }

    /// What templates see that read these names of it. What may read all is made once for all actions.
    pub(crate) fn context(&self, roots: &Roots) -> Cow<'_, Context> {
        if *roots == Roots::All {
            return Cow::Borrowed(self.context.get_or_init(|| templates::context(&self.seen().event, roots)));
        }
        Cow::Owned(templates::context(&self.seen().event, roots))
    }

    fn seen(&self) -> &Seen {
        self.seen.get_or_init(|| Seen::of(Arc::clone(&self.original)))
    }
}

impl Seen {
    fn of(event: Arc<EntityEvent>) -> Self {
        let record = record(&event);
        let texts = [&record.entity_type, &record.entity_id, &record.data];
        let suspect = texts
            .into_iter()
            .chain(&record.old)
            .chain(&record.changed)
            .chain(record.attributes.iter().map(|(_, value)| value))
            .any(|text| Handles::suspects(text));
        if suspect {
            let event = harmless(event);
            return Self { record: Arc::new(self::record(&event)), event };
        }
        Self { event, record: Arc::new(record) }
    }
}

fn record(event: &EntityEvent) -> Event {
    let attributes = [
        ("tenant_id", event.tenant_id.as_ref()),
        ("actor", event.actor.as_ref()),
        ("traceparent", event.traceparent.as_ref()),
    ];
    Event {
        id: event.id.to_string(),
        entity_type: event.entity_type.clone(),
        entity_id: event.entity_id.clone(),
        kind: event.event_kind.as_str().to_owned(),
        occurred_at: event.occurred_at.to_string(),
        data: event.data.to_string(),
        old: event.old.as_ref().map(ToString::to_string),
        changed: event.changed.clone(),
        attributes: attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.clone())))
            .collect(),
    }
}

/// The event without any text that this process could take for a secret's handle. No honest event comes here.
fn harmless(event: Arc<EntityEvent>) -> Arc<EntityEvent> {
    tracing::warn!(
        target: "aftercommit::audit",
        event = %event.id,
        "an event holds text in the form of this process's secret handles; the text was changed"
    );
    let text = serde_json::to_string(&*event).unwrap_or_default();
    // What was read from JSON and only had letters replaced reads again.
    serde_json::from_str(&neutralise(&text)).map_or(event, Arc::new)
}

#[cfg(test)]
mod tests {
    use aftercommit_core::EventKind;
    use serde_json::json;

    use super::*;
    use crate::secrets::{Entry, Secret};

    #[test]
    fn a_handle_in_event_data_is_no_handle() {
        let handles = Handles::default();
        let entry =
            Entry { name: "A".into(), secret: Secret::new("s"), destinations: Vec::new(), body: None };
        let handle = handles.issue(entry);
        let data = json!({"a": handle, "n": 1, handle.as_str(): {"b": [format!("x{handle}y")]}});
        let event = EntityEvent::new(EventKind::Created, "T", 1, data).with_old(json!({"a": handle}));
        let prepared = PreparedEvent::new(event);
        let seen = format!("{:?}{:?}", prepared.record(), prepared.context(&Roots::All).data());
        assert!(!Handles::suspects(&seen));
        assert!(prepared.record().data.contains("not-a-secret"));
    }

    #[test]
    fn the_row_does_not_hide_the_event() {
        let event =
            EntityEvent::new(EventKind::Created, "Order", 7, json!({"entity_type": "row", "old": 1, "x": 2}));
        let prepared = PreparedEvent::new(event);
        let context = prepared.context(&Roots::All);
        let data = context.data();
        assert_eq!(data["entity_type"], "Order");
        assert_eq!(data["data"]["entity_type"], "row");
        assert_eq!(data["x"], 2);
        assert!(data.get("old").is_none());
    }
}
