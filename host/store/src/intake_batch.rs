//! What intake makes of one batch of events, before it is written: the same for every backend.

use std::{collections::HashSet, sync::Arc};

use aftercommit_core::{EntityEvent, Losses};
use uuid::Uuid;

use crate::{ClaimedDelivery, NewDelivery, Plan, Planned, TakeRequest, Taken};

/// A row that is no event, as far as it can be read.
#[derive(Clone, Debug)]
pub(crate) struct Rejected {
    pub(crate) event_id: Option<String>,
    pub(crate) entity_type: Option<String>,
    pub(crate) entity_id: Option<String>,
    pub(crate) reason: String,
}

impl Rejected {
    /// The event of a live delivery is gone.
    pub(crate) fn missing() -> Self {
        Self {
            event_id: None,
            entity_type: None,
            entity_id: None,
            reason: "there is no such event".to_owned(),
        }
    }

    /// The event of a live delivery, which someone has changed or deleted.
    pub(crate) fn of_delivery_to(mut self, observer: &str) -> Self {
        self.reason =
            format!("the event of a delivery to `{observer}` was changed or deleted: {}", self.reason);
        tracing::error!(observer, event_id = self.event_id, reason = self.reason, "a delivery is put aside");
        self
    }

    /// Its id and the reason. An id that is none is named in the reason.
    pub(crate) fn named(self) -> (Uuid, String) {
        let id = self.event_id.as_deref().and_then(|id| id.parse().ok());
        let reason = match (&id, self.event_id) {
            (None, Some(written)) => format!("{} (`{written}`)", self.reason),
            _ => self.reason,
        };
        (id.unwrap_or(Uuid::nil()), reason)
    }
}

/// An event that was taken from the inbox.
pub(crate) struct TakenEvent {
    /// Its place in the order of events.
    pub(crate) seq: i64,
    pub(crate) event: Arc<EntityEvent>,
    /// Bytes of its images as text.
    pub(crate) bytes: usize,
}

/// An event and what it sets off.
pub(crate) struct PlannedEvent {
    pub(crate) event: Arc<EntityEvent>,
    /// Bytes of its images as text.
    pub(crate) bytes: usize,
    pub(crate) planned: Planned,
}

impl PlannedEvent {
    /// Evaluates the conditions, which takes as long as the row is large.
    pub(crate) fn of(event: Arc<EntityEvent>, bytes: usize, plan: &dyn Plan) -> Self {
        Self { planned: plan.plan(&event), event, bytes }
    }
}

/// How much of what is made may still be owned at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    deliveries: usize,
    bytes: usize,
    /// The first that nothing holds up is owned however large it is.
    first: bool,
}

impl Allowance {
    pub(crate) const fn of(request: TakeRequest) -> Self {
        Self { deliveries: request.own, bytes: request.own_bytes, first: request.own_bytes > 0 }
    }

    /// Whether a delivery with such an event may be owned; then it is counted.
    const fn allow(&mut self, bytes: usize) -> bool {
        let allowed = self.deliveries > 0 && (bytes <= self.bytes || self.first);
        if allowed {
            self.deliveries -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
            self.first = false;
        }
        allowed
    }
}

/// The deliveries and condition errors of one batch of events.
#[derive(Default)]
pub(crate) struct Batch {
    events: usize,
    pub(crate) planned: Vec<PlannedDelivery>,
    /// (event, observer, why).
    pub(crate) errors: Vec<(Uuid, Arc<str>, String)>,
}

/// A delivery that is about to be made.
pub(crate) struct PlannedDelivery {
    pub(crate) delivery: NewDelivery,
    pub(crate) event: Arc<EntityEvent>,
    pub(crate) event_seq: i64,
    /// Bytes of the event's images as text.
    pub(crate) event_bytes: usize,
    pub(crate) position: usize,
    /// Another of its ordering key goes first, as far as is known without the order of what is live.
    pub(crate) blocked: bool,
    pub(crate) owned: bool,
}

impl Batch {
    /// Asks `plan` for each event, in order.
    pub(crate) fn of(events: Vec<TakenEvent>, plan: &dyn Plan) -> Self {
        let mut batch = Self::default();
        for TakenEvent { seq, event, bytes } in events {
            batch.add(seq, &PlannedEvent::of(event, bytes, plan));
        }
        batch
    }

    /// Adds what an event with this place in the order sets off.
    pub(crate) fn add(&mut self, event_seq: i64, planned: &PlannedEvent) {
        let PlannedEvent { event, bytes: event_bytes, planned } = planned;
        self.events += 1;
        let errors = planned.errors.iter();
        self.errors
            .extend(errors.map(|error| (event.id, Arc::clone(&error.observer), error.message.clone())));
        let deliveries = planned.deliveries.iter().enumerate();
        self.planned.extend(deliveries.map(|(position, delivery)| PlannedDelivery {
            delivery: delivery.clone(),
            event: Arc::clone(event),
            event_seq,
            event_bytes: *event_bytes,
            position,
            blocked: false,
            owned: false,
        }));
    }

    /// The ids of its deliveries.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.planned.iter().map(|planned| planned.delivery.id.0).collect()
    }

    /// The ordering keys of its deliveries.
    pub(crate) fn ordering_keys(&self) -> Vec<&str> {
        self.planned.iter().filter_map(|planned| planned.delivery.ordering_key.as_deref()).collect()
    }

    /// Leaves out what exists already, or twice in the batch: an event that was put into the inbox again.
    pub(crate) fn drop_live(&mut self, mut live: HashSet<Uuid>) {
        self.planned.retain(|planned| live.insert(planned.delivery.id.0));
    }

    /// The observers of its deliveries, each once.
    pub(crate) fn observers(&self) -> HashSet<&str> {
        self.planned.iter().map(|planned| &*planned.delivery.observer).collect()
    }

    /// Decides which deliveries run at once: the first that nothing holds up and `allowance` has room for. `live_keys` are
    /// the ordering keys that have live deliveries.
    pub(crate) fn assign(
        &mut self,
        disabled: &HashSet<String>,
        mut live_keys: HashSet<String>,
        allowance: &mut Allowance,
    ) {
        for planned in &mut self.planned {
            let is_disabled = disabled.contains(&*planned.delivery.observer);
            let first =
                planned.delivery.ordering_key.as_ref().is_none_or(|key| live_keys.insert(key.clone()));
            planned.blocked = !first;
            planned.owned =
                first && !is_disabled && !planned.delivery.hold && allowance.allow(planned.event_bytes);
        }
    }

    pub(crate) fn into_taken(self, rejected: Vec<Rejected>, more: bool) -> Taken {
        let made = self.planned.len();
        let owned: Vec<_> = self
            .planned
            .into_iter()
            .filter(|planned| planned.owned)
            .map(PlannedDelivery::into_claimed)
            .collect();
        Taken {
            events: self.events,
            quarantined: rejected.into_iter().map(Rejected::named).collect(),
            condition_errors: self.errors.len(),
            ready: made - owned.len(),
            owned,
            more,
        }
    }
}

impl PlannedDelivery {
    fn into_claimed(self) -> ClaimedDelivery {
        let NewDelivery { id, observer, action, action_type, ordering_key, .. } = self.delivery;
        ClaimedDelivery {
            id,
            event: self.event,
            observer,
            action,
            action_type,
            attempt: 1,
            attempts_before: 0,
            losses: Losses::default(),
            event_bytes: self.event_bytes,
            ordering_key: ordering_key.map(Arc::from),
        }
    }
}
