//! The right to one call of an action: its part of the instance pool is reserved.
//!
//! Waiting for it is separate from the call. A caller that limits its calls waits for an admission first and takes one of its own slots
//! after that, so it blocks nobody while it waits.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::calling::{
    attempt::{Attempt, DeliveryInfo},
    batch::{BatchItem, OpenCall},
    callee::Callee,
    event::PreparedEvent,
    guest_request::GuestRequest,
    run::run,
};

/// The right to one call of an action.
#[must_use]
pub struct Admission<'a> {
    callee: &'a Callee,
    shares: Option<OwnedSemaphorePermit>,
}

impl<'a> Admission<'a> {
    pub(crate) async fn of(callee: &'a Callee) -> Self {
        let plugin = &callee.plugin;
        Self { callee, shares: plugin.runtime.reserve.take(plugin.loaded.shares_beyond).await }
    }

    /// Runs the action once; with `batch`, as a batch of one. Never fails itself: every failure is the attempt's result.
    pub async fn run(self, event: &PreparedEvent, delivery: DeliveryInfo) -> Attempt {
        let callee = self.callee;
        let mut attempts = if callee.batch.is_some() {
            self.run_batch(&[BatchItem { event, delivery }]).await
        } else {
            match callee.rendered(event) {
                Ok(config) => {
                    let delivery = callee.guest_delivery(delivery);
                    self.call(GuestRequest::Run(Arc::clone(event.record()), delivery, config)).await
                }
                Err(failure) => return Attempt::uncalled(Err(failure)),
            }
        };
        attempts.pop().expect("one attempt a delivery")
    }

    /// Runs the action once for each item, in one call of the plugin, or in several when the items are large. Returns one
    /// attempt an item, in their order. An item whose templates do not render fails alone. Never fails itself.
    ///
    /// A trap, a timeout or a limit that ends a call is the failure of each of its items, transient if there are several.
    pub async fn run_batch(mut self, items: &[BatchItem<'_>]) -> Vec<Attempt> {
        let callee = self.callee;
        let mut attempts: Vec<Option<Attempt>> = Vec::with_capacity(items.len());
        let mut open = OpenCall::default();
        for (position, item) in items.iter().enumerate() {
            attempts.push(None);
            let item = match callee.rendered(item.event) {
                Ok(config) => item.for_guest(callee.guest_delivery(item.delivery), config),
                Err(failure) => {
                    attempts[position] = Some(Attempt::uncalled(Err(failure)));
                    continue;
                }
            };
            if !open.has_capacity_for(&item, callee.limits.memory_bytes()) {
                self.call_with(std::mem::take(&mut open), &mut attempts).await;
                // Each call has an instance of its own.
                self = Self::of(callee).await;
            }
            open.add(position, item);
        }
        self.call_with(open, &mut attempts).await;
        attempts.into_iter().map(|attempt| attempt.expect("each item was rendered or called")).collect()
    }

    async fn call_with(self, open: OpenCall, attempts: &mut [Option<Attempt>]) {
        if open.items.is_empty() {
            return;
        }
        let made = self.call(GuestRequest::RunBatch(open.items)).await;
        for (position, attempt) in open.positions.into_iter().zip(made) {
            attempts[position] = Some(attempt);
        }
    }

    async fn call(self, request: GuestRequest) -> Vec<Attempt> {
        run(self.callee, request, self.shares).await
    }
}
