//! One call of an action's guest, for one delivery or for a batch: its budgets, and the attempt of each delivery.

use std::{sync::Arc, time::Instant};

use aftercommit_core::{Failure, FailureClass, HostFailure, Problem};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    calling::{
        attempt::{Attempt, Usage},
        callee::Callee,
        contacts::by_certificate,
        guest::Phase,
        guest_request::GuestRequest,
        instance::{Ended, Instance, within},
        result,
    },
    hostapi::LogSink,
};

/// Calls the guest. `shares` are those of the reserve that its instance takes. Returns one attempt a delivery, in their order.
pub(crate) async fn run(
    callee: &Callee,
    request: GuestRequest,
    shares: Option<OwnedSemaphorePermit>,
) -> Vec<Attempt> {
    let runtime = &callee.plugin.runtime;
    // The semaphore is never closed, so this only waits.
    let running = Arc::clone(&runtime.running).acquire_owned().await;
    let started = Instant::now();
    let count = request.deliveries();
    let limits =
        if count == 1 { Arc::clone(&callee.limits) } else { Arc::new(callee.limits.for_batch(count)) };
    let log =
        LogSink::new(Arc::clone(&callee.permit.who), request.name(), limits.log_lines, limits.log_bytes);
    let (permit, cpu_profile) = (Arc::clone(&callee.permit), Arc::clone(&callee.cpu_profile));
    let mut call = runtime.call(Phase::Run, permit, Arc::clone(&limits), Arc::clone(&log), cpu_profile);
    call.deliveries = count;
    let (cpu, contacts) = (Arc::clone(&call.cpu), Arc::clone(&call.contacts));
    let reserve = Arc::clone(&runtime.reserve);
    let (loaded, warm) = (Arc::clone(&callee.plugin.loaded), Arc::clone(&callee.warm));
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
        let said = used.instance.ask(linked, &request).await;
        let (usage, redirected_to) = (used.instance.usage(), used.instance.redirected_to());
        // A store that trapped is never used again: only what returned is kept.
        if said.is_ok() {
            warm.give_back(used, &reserve);
        }
        Ok((said, usage, redirected_to))
    })
    .await;
    callee.permit.end_of_attempt();
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

/// The guest did not answer for each of its deliveries: nobody knows which of them were done.
fn miscounted(results: usize, deliveries: usize) -> Failure {
    let message = format!("the plugin gave {results} results for {deliveries} deliveries");
    Failure::of_host(HostFailure::BatchResult, message)
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
