//! The right to a call of an action: its part of the instance pool is set aside.
//!
//! Waiting for it is apart from the call, so that a caller which bounds its calls waits for capacity before it takes one of
//! its own slots, and holds up nobody meanwhile.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::{
    action::ConfiguredAction,
    attempt::{Attempt, DeliveryInfo},
    batch::BatchItem,
    calling::Asked,
    event::PreparedEvent,
};

/// The right to one call of an action.
#[must_use]
pub struct Admission<'a> {
    action: &'a ConfiguredAction,
    shares: Option<OwnedSemaphorePermit>,
}

impl<'a> Admission<'a> {
    pub(crate) async fn of(action: &'a ConfiguredAction) -> Self {
        let plugin = &action.plugin;
        Self { action, shares: plugin.runtime.reserve.take(plugin.loaded.shares_beyond).await }
    }

    /// The action.
    pub(crate) const fn action(&self) -> &'a ConfiguredAction {
        self.action
    }

    pub(crate) async fn call(self, asked: Asked) -> Vec<Attempt> {
        self.action.call(asked, self.shares).await
    }

    /// Runs the action once; with `batch`, as a batch of one. Never fails itself: whatever happens is an attempt's result.
    pub async fn run(self, event: &PreparedEvent, delivery: DeliveryInfo) -> Attempt {
        let action = self.action;
        let mut attempts = if action.batch().is_some() {
            self.run_batch(&[BatchItem { event, delivery }]).await
        } else {
            match action.rendered(event) {
                Ok(config) => {
                    let asked = Asked::Run(Arc::clone(event.record()), action.told(delivery), config);
                    self.call(asked).await
                }
                Err(failure) => return Attempt::uncalled(Err(failure)),
            }
        };
        attempts.pop().expect("one attempt a delivery")
    }
}
