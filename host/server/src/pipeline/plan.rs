//! What an event sets off, by the observers of one snapshot.

use std::{collections::HashMap, sync::Arc};

use aftercommit_core::{DeliveryId, EntityEvent, Ordering, alert_of};
use aftercommit_runtime::Addressed;
use aftercommit_store::{ConditionError, NewDelivery, Plan, Planned};
use parking_lot::Mutex;

use super::{
    destinations::{Destinations, Endpoints},
    event_memory::EventMemory,
};
use crate::observers::{Action, Snapshot};

/// Plans the deliveries of one batch of events.
pub(super) struct IntakePlan {
    snapshot: Arc<Snapshot>,
    destinations: Arc<Destinations>,
    endpoints: Arc<Endpoints>,
    memory: EventMemory,
    /// How many more deliveries of the batch there is room for.
    rooms: Mutex<Rooms>,
}

/// By name.
#[derive(Default)]
struct Rooms {
    destinations: HashMap<String, usize>,
    addresses: HashMap<Arc<str>, usize>,
}

impl IntakePlan {
    pub(super) fn new(
        snapshot: Arc<Snapshot>,
        destinations: Arc<Destinations>,
        endpoints: Arc<Endpoints>,
        memory: EventMemory,
    ) -> Self {
        Self { snapshot, destinations, endpoints, memory, rooms: Mutex::default() }
    }

    /// Whether the delivery should not be owned at once: its action can not run or is paused, its destination has its
    /// share or is held back, or its event is large and another large one is under way.
    fn holds_back(&self, event: &EntityEvent, action: &Action) -> bool {
        if action.configured.is_err() || self.endpoints.is_paused(action) || self.memory.holds_back(event) {
            return true;
        }
        let name = action.destination();
        let mut rooms = self.rooms.lock();
        let Rooms { destinations, addresses } = &mut *rooms;
        let at_address = match self.snapshot.addressed(action) {
            Addressed::Fixed(address) => {
                let room_now = || self.destinations.fixed_address(address, action).room();
                Some(addresses.entry(Arc::clone(address)).or_insert_with(room_now))
            }
            Addressed::Server | Addressed::Made(_) => None,
        };
        let at_destination = if let Some(room) = destinations.get_mut(name) {
            room
        } else {
            let room_now = self.destinations.of(action).room();
            destinations.entry(name.to_owned()).or_insert(room_now)
        };
        let is_full = *at_destination == 0 || at_address.as_ref().is_some_and(|room| **room == 0);
        if !is_full {
            *at_destination -= 1;
            if let Some(room) = at_address {
                *room -= 1;
            }
        }
        is_full
    }

    fn delivery(&self, event: &EntityEvent, action: &Action) -> NewDelivery {
        NewDelivery {
            id: DeliveryId::of(event.id, &action.observer, &action.name),
            observer: Arc::clone(&action.observer),
            action: Arc::clone(&action.name),
            action_type: Arc::clone(&action.plugin),
            priority: action.policy.priority,
            max_attempts: action.policy.retry.max_attempts,
            ordering_key: ordering_key(event, action),
            hold: self.holds_back(event, action),
        }
    }
}

impl Plan for IntakePlan {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let mut planned = Planned::default();
        if let Some(observer) = alert_of(event) {
            let action = self.snapshot.alert(observer);
            planned.deliveries.extend(action.map(|action| self.delivery(event, action)));
            return planned;
        }
        for watcher in self.snapshot.matcher().find(event) {
            match watcher.wants(event) {
                Ok(false) => {}
                Ok(true) => {
                    let actions = self.snapshot.actions(&watcher.name).iter();
                    planned.deliveries.extend(actions.map(|action| self.delivery(event, action)));
                }
                Err(error) => {
                    let message = watcher.explain(&error);
                    tracing::error!(
                        event_id = %event.id,
                        entity_type = event.entity_type,
                        entity_id = event.entity_id,
                        event_kind = %event.event_kind,
                        observer = %watcher.name,
                        "the condition can not be evaluated: {message}"
                    );
                    planned.errors.push(ConditionError { observer: Arc::clone(&watcher.name), message });
                }
            }
        }
        planned
    }
}

/// What the deliveries that must not overtake each other share. The parts can hold any text, so their lengths come
/// first.
fn ordering_key(event: &EntityEvent, action: &Action) -> Option<String> {
    let (observer, entity_type) = (&action.observer, &event.entity_type);
    match action.policy.ordering {
        Ordering::None => None,
        Ordering::PerEntity => Some(format!(
            "{}:{}:{observer}{entity_type}{}",
            observer.len(),
            entity_type.len(),
            event.entity_id
        )),
    }
}
