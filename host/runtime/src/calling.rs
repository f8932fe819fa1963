//! One call of an action's guest, for one delivery or for a batch: its budgets, and what its end means for each of them.

use std::{sync::Arc, time::Instant};

use aftercommit_core::{Failure, FailureClass, Problem};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    action::ConfiguredAction,
    attempt::{Attempt, Usage},
    bindings::{Item, aftercommit::action::model},
    contacts::by_certificate,
    guest::Phase,
    hostapi::LogSink,
    invocation::{Ended, Instance, within},
    result,
};

/// What a guest is asked to do.
pub(crate) enum Asked {
    /// `run`: the event, the delivery and the configuration.
    Run(Arc<model::Event>, model::Delivery, Arc<String>),
    /// `run-batch`: at least one item.
    RunBatch(Vec<Item>),
}

impl Asked {
    /// How many deliveries it is for.
    pub(crate) fn deliveries(&self) -> usize {
        match self {
            Self::Run(..) => 1,
            Self::RunBatch(items) => items.len(),
        }
    }

    /// What the guest's log lines name.
    fn name(&self) -> String {
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

impl ConfiguredAction {
    /// Calls the guest, whose instance has its shares of the reserve; one attempt a delivery, in their order.
    pub(crate) async fn call(&self, asked: Asked, shares: Option<OwnedSemaphorePermit>) -> Vec<Attempt> {
        let runtime = &self.plugin.runtime;
        // The semaphore is never closed, so this only waits.
        let running = Arc::clone(&runtime.running).acquire_owned().await;
        let started = Instant::now();
        let count = asked.deliveries();
        let limits =
            if count == 1 { Arc::clone(&self.limits) } else { Arc::new(self.limits.for_batch(count)) };
        let log =
            LogSink::new(Arc::clone(&self.permit.who), asked.name(), limits.log_lines, limits.log_bytes);
        let (permit, standing) = (Arc::clone(&self.permit), Arc::clone(&self.standing));
        let mut call = runtime.call(Phase::Run, permit, Arc::clone(&limits), Arc::clone(&log), standing);
        call.deliveries = count;
        let (cpu, contacts) = (Arc::clone(&call.cpu), Arc::clone(&call.contacts));
        let reserve = Arc::clone(&runtime.reserve);
        let (loaded, warm) = (Arc::clone(&self.plugin.loaded), Arc::clone(&self.warm));
        let ended = within(&limits, Arc::clone(&cpu), async move {
            // Until the instance is gone, on whatever thread that is.
            let _running = running;
            let linked = &loaded.linked;
            let mut used = match warm.take() {
                Some(mut kept) => {
                    kept.instance.renew(call);
                    kept
                }
                None => warm.adopt(Instance::fresh(linked, call).await?, shares),
            };
            let said = used.instance.ask(linked, &asked).await;
            let (usage, redirected_to) = (used.instance.usage(), used.instance.redirected_to());
            // A store that trapped is never used again: only what returned is kept.
            if said.is_ok() {
                warm.give_back(used, &reserve);
            }
            Ok((said, usage, redirected_to))
        })
        .await;
        self.permit.end_of_attempt();
        let (said, used, redirected_to) = match ended {
            Ok((said, used, redirected_to)) => (said.map_err(Ended::Trapped), used, redirected_to),
            Err(ended) => (Err(ended), Usage::default(), None),
        };
        // Which delivery of a batch a request was for is the plugin's to know.
        let redirected_to = redirected_to.filter(|_| count == 1);
        let (log_lines, log_dropped) = log.counts();
        let cpu_ms = u64::try_from(cpu.used().as_millis()).unwrap_or(u64::MAX);
        let usage = Usage { wall: started.elapsed(), cpu_ms, log_lines, log_dropped, ..used };
        let denied = contacts.denials.take();
        let failure = match said {
            Ok(said) if said.len() == count => {
                let read = |said| result::read(said, limits.result_bytes, redirected_to.as_deref());
                let results = said.into_iter().map(read);
                let results = results.map(|result| by_certificate(result, contacts.are_untrusted()));
                return results.map(|result| Attempt { result, usage, denied: denied.clone() }).collect();
            }
            Ok(said) => miscounted(said.len(), count),
            Err(ended) => ended.failure(&limits, log.last_error().as_deref()),
        };
        vec![Attempt { result: Err(for_each(failure, count)), usage, denied }; count]
    }
}

/// The guest did not answer for each of its deliveries: nobody knows which of them were done.
fn miscounted(results: usize, deliveries: usize) -> Failure {
    let message = format!("the plugin gave {results} results for {deliveries} deliveries");
    Failure::new(FailureClass::Permanent, Problem::new("batch_result", message))
}

/// The failure of a call, for each of its deliveries. Which of several caused it is not known, so none of them is given
/// up for it: the last attempt of each is made alone, and tells.
fn for_each(failure: Failure, deliveries: usize) -> Failure {
    if deliveries == 1 {
        return failure;
    }
    let Problem { code, message, status } = failure.problem;
    let message = format!("a call for {deliveries} deliveries: {message}");
    Failure { class: FailureClass::Transient, problem: Problem { code, message, status }, retry_after: None }
}
