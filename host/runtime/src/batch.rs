//! Several deliveries of one action in one call (`batch`).

use std::sync::Arc;

use crate::{
    admission::Admission,
    attempt::{Attempt, DeliveryInfo},
    bindings::{Item, aftercommit::action::model},
    calling::Asked,
    event::PreparedEvent,
};

/// One delivery of a batch.
#[derive(Clone, Copy)]
pub struct BatchItem<'a> {
    /// What happened.
    pub event: &'a PreparedEvent,
    /// The attempt.
    pub delivery: DeliveryInfo,
}

/// Items of one call fill no more than this part of the guest's memory: what a plugin makes of them has to fit beside
/// them, several times over (the configuration that it reads, its part of the body, the body).
const PART_OF_MEMORY: u64 = 8;

impl Admission<'_> {
    /// Runs the action once for each item, in one call of the plugin, or in several when the items are large. Returns one
    /// attempt an item, in their order. An item whose templates do not render fails alone. Never fails itself.
    ///
    /// What ends a call (a trap, a timeout, a limit) is the failure of each of its items, transient if there are several.
    pub async fn run_batch(mut self, items: &[BatchItem<'_>]) -> Vec<Attempt> {
        let action = self.action();
        let mut attempts: Vec<Option<Attempt>> = Vec::with_capacity(items.len());
        let mut open = Call::default();
        for (position, item) in items.iter().enumerate() {
            attempts.push(None);
            let config = match action.rendered(item.event) {
                Ok(config) => Arc::unwrap_or_clone(config),
                Err(failure) => {
                    attempts[position] = Some(Attempt::uncalled(Err(failure)));
                    continue;
                }
            };
            let item = Item {
                event: model::Event::clone(item.event.record()),
                delivery: action.told(item.delivery),
                config,
            };
            let size_bytes = size_bytes(&item);
            if open.size_bytes + size_bytes > action.limits.memory_bytes() / PART_OF_MEMORY {
                std::mem::take(&mut open).make(self, &mut attempts).await;
                // Each call has an instance of its own.
                self = action.admit().await;
            }
            open.size_bytes += size_bytes;
            open.items.push(item);
            open.positions.push(position);
        }
        open.make(self, &mut attempts).await;
        attempts.into_iter().map(|attempt| attempt.expect("each item was rendered or called")).collect()
    }
}

/// The items of one call, and where their attempts belong.
#[derive(Default)]
struct Call {
    items: Vec<Item>,
    positions: Vec<usize>,
    size_bytes: u64,
}

impl Call {
    async fn make(self, admission: Admission<'_>, attempts: &mut [Option<Attempt>]) {
        if self.items.is_empty() {
            return;
        }
        let made = admission.call(Asked::RunBatch(self.items)).await;
        for (position, attempt) in self.positions.into_iter().zip(made) {
            attempts[position] = Some(attempt);
        }
    }
}

/// About what the guest needs to hold an item.
fn size_bytes(item: &Item) -> u64 {
    let model::Event { data, old, .. } = &item.event;
    (data.len() + old.as_ref().map_or(0, String::len) + item.config.len()) as u64
}
