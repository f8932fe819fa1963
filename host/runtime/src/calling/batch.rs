//! Several deliveries of one action in one call (`batch`).

use std::sync::Arc;

use crate::{
    bindings::{Item, aftercommit::action::model},
    calling::{attempt::DeliveryInfo, event::PreparedEvent},
};

/// One delivery of a batch.
#[derive(Clone, Copy)]
pub struct BatchItem<'a> {
    /// What happened.
    pub event: &'a PreparedEvent,
    /// The attempt.
    pub delivery: DeliveryInfo,
}

impl BatchItem<'_> {
    pub(crate) fn for_guest(&self, delivery: model::Delivery, config: Arc<String>) -> Item {
        let event = model::Event::clone(self.event.record());
        Item { event, delivery, config: Arc::unwrap_or_clone(config) }
    }
}

/// Items of one call fill no more than this part of the guest's memory: what a plugin makes of them has to fit beside
/// them, several times over (the configuration that it reads, its part of the body, the body).
const PART_OF_MEMORY: u64 = 8;

/// A call that is being filled, with the position of each item in the whole batch.
#[derive(Default)]
pub(crate) struct OpenCall {
    pub(crate) items: Vec<Item>,
    pub(crate) positions: Vec<usize>,
    size_bytes: u64,
}

impl OpenCall {
    pub(crate) fn has_capacity_for(&self, item: &Item, memory_bytes: u64) -> bool {
        self.size_bytes + size_bytes(item) <= memory_bytes / PART_OF_MEMORY
    }

    pub(crate) fn add(&mut self, position: usize, item: Item) {
        self.size_bytes += size_bytes(&item);
        self.items.push(item);
        self.positions.push(position);
    }
}

/// About what the guest needs to hold an item.
fn size_bytes(item: &Item) -> u64 {
    let model::Event { data, old, .. } = &item.event;
    (data.len() + old.as_ref().map_or(0, String::len) + item.config.len()) as u64
}
