//! The request to a guest: one delivery, or a batch of them.

use std::sync::Arc;

use crate::bindings::{Item, aftercommit::action::model};

/// A call of one of the guest's exports.
pub(crate) enum GuestRequest {
    /// `run`: the event, the delivery and the configuration.
    Run(Arc<model::Event>, model::Delivery, Arc<String>),
    /// `run-batch`: at least one item.
    RunBatch(Vec<Item>),
}

impl GuestRequest {
    /// The number of deliveries.
    pub(crate) fn deliveries(&self) -> usize {
        match self {
            Self::Run(..) => 1,
            Self::RunBatch(items) => items.len(),
        }
    }

    /// The delivery that the guest's log lines name.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Run(_, delivery, _) => delivery.id.clone(),
            Self::RunBatch(items) => match items.as_slice() {
                [] => String::new(),
                [one] => one.delivery.id.clone(),
                [first, more @ ..] => format!("{} and {} more", first.delivery.id, more.len()),
            },
        }
    }
}
