//! One call of an action's guest, for one delivery or for a batch: its budgets, and what its end means for each of them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aftercommit_core::{Failure, FailureClass, Problem};

use crate::{
    action::ConfiguredAction,
    attempt::{Attempt, Usage},
    bindings::{Item, aftercommit::action::model},
    guest::Phase,
    hostapi::LogSink,
    invocation::{Circumstances, Instance, within},
    result,
};

/// What a guest is asked to do.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// `run`: the event, the delivery and the configuration.
    Run(&'a model::Event, &'a model::Delivery, &'a String),
    /// `run-batch`: at least one item.
    RunBatch(&'a [Item]),
}

impl Asked<'_> {
    /// How many deliveries it is for.
    pub(crate) const fn deliveries(&self) -> usize {
        match self {
            Self::Run(..) => 1,
            Self::RunBatch(items) => items.len(),
        }
    }

    /// What the guest's log lines name.
    fn name(&self) -> String {
        match self {
            Self::Run(_, delivery, _) => delivery.id.clone(),
            Self::RunBatch([one]) => one.delivery.id.clone(),
            Self::RunBatch(items) => {
                let first = items.first().map_or("", |item| item.delivery.id.as_str());
                format!("{first} and {} more", items.len().saturating_sub(1))
            }
        }
    }
}

impl ConfiguredAction {
    /// Calls the guest; one attempt a delivery, in their order.
    pub(crate) async fn call(&self, asked: Asked<'_>) -> Vec<Attempt> {
        let runtime = &self.plugin.runtime;
        // The semaphore is never closed, so this only waits.
        let _running = runtime.running.acquire().await;
        let started = Instant::now();
        let count = asked.deliveries();
        let limits =
            if count == 1 { Arc::clone(&self.limits) } else { Arc::new(self.limits.for_batch(count)) };
        let log =
            LogSink::new(Arc::clone(&self.permit.who), asked.name(), limits.log_lines, limits.log_bytes);
        let mut call =
            runtime.call(Phase::Run, Arc::clone(&self.permit), Arc::clone(&limits), Arc::clone(&log));
        call.deliveries = count;
        // Told from within, because a timeout drops the instance.
        let used = Mutex::new(Usage::default());
        let (cpu, mut memory_refused) = (Arc::clone(&call.cpu), false);
        let ended = within(Duration::from_millis(limits.timeout_ms), &cpu, async {
            let linked = &self.plugin.loaded.linked;
            let mut instance = match self.warm.take() {
                Some(mut kept) => {
                    kept.instance.renew(call);
                    kept
                }
                None => self.warm.adopt(Instance::fresh(linked, call).await?),
            };
            let said = instance.instance.ask(linked, asked).await;
            let guest = instance.instance.store.data();
            memory_refused = guest.memory.refused;
            *used.lock().unwrap_or_else(PoisonError::into_inner) = Usage {
                memory_bytes: guest.memory.used_bytes(),
                host_calls: guest.call.host_calls,
                ..Usage::default()
            };
            // A store that trapped is never used again: only what returned is kept.
            if said.is_ok() {
                self.warm.give_back(instance);
            }
            said
        })
        .await;
        self.permit.end_of_attempt();
        let (log_lines, log_dropped) = log.counts();
        let used = used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let cpu_ms = u64::try_from(cpu.used().as_millis()).unwrap_or(u64::MAX);
        let usage = Usage { wall: started.elapsed(), cpu_ms, log_lines, log_dropped, ..used };
        let failure = match ended {
            Ok(said) if said.len() == count => {
                let results = said.into_iter().map(|said| result::read(said, limits.result_bytes));
                return results.map(|result| Attempt { result, usage }).collect();
            }
            Ok(said) => miscounted(said.len(), count),
            Err(ended) => ended.failure(&Circumstances {
                timeout_ms: limits.timeout_ms,
                cpu_ms: limits.cpu_ms,
                memory_mb: limits.memory_mb,
                memory_refused,
                last_error: log.last_error().as_deref(),
            }),
        };
        vec![Attempt { result: Err(for_each(failure, count)), usage }; count]
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
