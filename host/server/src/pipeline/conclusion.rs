//! From the result of an attempt to what the store is told. Pure.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{HostFailure, Problem, Timestamp, Verdict};
use aftercommit_runtime::{Attempt, ConfiguredAction, Denied};
use aftercommit_store::{AttemptRecord, ClaimedDelivery, Completion, End};
use serde_json::Value;

use super::completer::Done;
use crate::{alerts::Untold, observers::Action};

/// What follows from an attempt, the `round_attempt`th that counts, which lasted so long and has ended now. `unit` is a random
/// number in `[0, 1)` for the jitter.
pub(super) fn conclude(
    delivery: &ClaimedDelivery,
    round_attempt: u32,
    action: &Action,
    attempt: Attempt,
    (duration, now): (Duration, Timestamp),
    unit: f64,
) -> Done {
    let verdict = action.policy.rules().judge(&attempt.result, round_attempt, now, unit);
    let end = match verdict {
        Verdict::Succeeded => End::Succeeded,
        Verdict::Retry(at) => End::Retry { at },
        Verdict::Dead => End::Dead { action: serde_json::to_value(&action.written).unwrap_or_default() },
        Verdict::Failed { .. } => End::Failed,
    };
    report(delivery, &attempt, &verdict, duration);
    let untold = match (&verdict, &attempt.result) {
        (Verdict::Failed { alert: true }, Err(failure)) => {
            Some(Box::new(Untold::of(action, delivery.id, delivery.attempt, failure, &delivery.event)))
        }
        _ => None,
    };
    let plugin = action.configured.as_ref().ok().map(ConfiguredAction::plugin);
    let (class, code, message, http_status) = match attempt.result {
        Ok(outcome) => {
            let code = (!attempt.denied.is_empty()).then(|| AttemptRecord::DENIED.to_owned());
            let Denied { first, more } = attempt.denied;
            let denied = AttemptRecord::denied(first, more);
            let message = AttemptRecord::message_of(&outcome.summary, outcome.details.as_deref(), denied);
            (None, code, message, outcome.status)
        }
        Err(failure) => {
            let Problem { code, message, status } = failure.problem;
            (
                Some(failure.class),
                Some(code.as_str().to_owned()),
                with_denied(message, &attempt.denied),
                status,
            )
        }
    };
    let record = AttemptRecord {
        max_attempts: delivery.last_attempt(action.policy.retry.max_attempts),
        class,
        code,
        message,
        http_status,
        // Also if the clock was set meanwhile: a wait begins when its attempt ends.
        started_at: now.minus(duration),
        duration,
        plugin: plugin.map(|plugin| Arc::from(plugin.name())),
        plugin_digest: plugin.map(|plugin| Arc::from(plugin.digest())),
    };
    let completion = Completion { id: delivery.id, attempt: delivery.attempt, end, record };
    Done::Ended { completion, untold }
}

/// The message of a failure. A plugin may have failed with words of its own after it was denied something.
fn with_denied(mut message: String, denied: &Denied) -> String {
    for why in &denied.first {
        if !message.contains(&**why) {
            message.push_str("; denied: ");
            message.push_str(why);
        }
    }
    message
}

/// The end of a delivery whose observer or action was removed.
pub(super) fn conclude_gone(delivery: &ClaimedDelivery, problem: Problem, now: Timestamp) -> Done {
    let hint = problem.code.host().map(HostFailure::hint);
    let (code, message) = (problem.code.as_str(), &problem.message);
    tracing::error!(code, hint, "{message}; the delivery is in the dead letter queue");
    let record = AttemptRecord {
        max_attempts: delivery.attempt,
        class: Some(aftercommit_core::FailureClass::Misconfigured),
        code: Some(problem.code.as_str().to_owned()),
        message: problem.message,
        http_status: None,
        started_at: now,
        duration: Duration::ZERO,
        plugin: None,
        plugin_digest: None,
    };
    let end = End::Dead { action: Value::Null };
    let completion = Completion { id: delivery.id, attempt: delivery.attempt, end, record };
    Done::Ended { completion, untold: None }
}

fn report(delivery: &ClaimedDelivery, attempt: &Attempt, verdict: &Verdict, duration: Duration) {
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let failure = match &attempt.result {
        Ok(outcome) => {
            tracing::debug!(duration_ms, http_status = outcome.status, "delivered: {}", outcome.summary);
            return;
        }
        Err(failure) => failure,
    };
    let (class, code, http_status) =
        (failure.class.as_str(), failure.problem.code.as_str(), failure.problem.status);
    let message = &failure.problem.message;
    let hint = failure.problem.code.host().map(HostFailure::hint);
    match verdict {
        Verdict::Succeeded => {}
        Verdict::Retry(at) => {
            tracing::warn!(duration_ms, class, code, http_status, next_attempt_at = %at, "attempt failed: {message}");
        }
        Verdict::Dead => {
            tracing::error!(
                duration_ms,
                class,
                code,
                http_status,
                hint,
                "dead after attempt {}: {message}",
                delivery.attempt
            );
        }
        Verdict::Failed { alert } => {
            tracing::error!(duration_ms, class, code, http_status, hint, alert, "given up: {message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_denied_once() {
        let denied = Denied { first: vec!["a: not granted".to_owned(), "b: private".to_owned()], more: 3 };
        assert_eq!(with_denied("no".to_owned(), &denied), "no; denied: a: not granted; denied: b: private");
        let told = "the request was denied: a: not granted".to_owned();
        assert_eq!(with_denied(told.clone(), &denied), format!("{told}; denied: b: private"));
        assert_eq!(with_denied(told.clone(), &Denied::default()), told);
    }
}
