//! The part of an action that a call needs: its plugin, its rights, its limits and its configuration.

use std::sync::Arc;

use aftercommit_core::{BatchConfig, Failure, FailureClass, HostFailure};

use crate::{
    bindings::aftercommit::action::model,
    calling::{
        attempt::DeliveryInfo, cpu_profile::CpuProfile, event::PreparedEvent, rendering::ConfigText,
        warm::WarmInstances,
    },
    egress::Permit,
    limits::Limits,
    loading::plugin::Plugin,
    templates::RenderProblem,
};

/// An action as its calls see it.
pub(crate) struct Callee {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) permit: Arc<Permit>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) batch: Option<BatchConfig>,
    pub(crate) warm: Arc<WarmInstances>,
    pub(crate) cpu_profile: Arc<CpuProfile>,
    pub(crate) config: ConfigText,
}

impl Callee {
    /// The configuration with its templates rendered for an event.
    pub(crate) fn rendered(&self, event: &PreparedEvent) -> Result<Arc<String>, Failure> {
        self.config.render(event, &self.limits).map_err(|(pointer, problem)| {
            let failure = Failure::of_host(HostFailure::Template, format!("{pointer}: {problem}"));
            match problem {
                // As for a guest that computes too long: on a machine that is less busy it may end in time.
                RenderProblem::TimedOut => Failure { class: FailureClass::Transient, ..failure },
                _ => failure,
            }
        })
    }

    /// The delivery as the guest receives it.
    pub(crate) fn guest_delivery(&self, delivery: DeliveryInfo) -> model::Delivery {
        model::Delivery {
            id: delivery.id.to_string(),
            observer: self.permit.who.observer.clone(),
            attempt: delivery.attempt,
            max_attempts: delivery.max_attempts,
            budget_ms: u32::try_from(self.limits.timeout_ms).unwrap_or(u32::MAX),
        }
    }
}
