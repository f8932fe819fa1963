//! Looks at an action's secrets before a refusal counts: it may be about one that was replaced.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{Failure, HostFailure, Problem};
use aftercommit_runtime::{Attempt, ConfiguredAction};
use tokio::time::{Instant, timeout_at};

use super::dispatch::Dispatch;
use crate::observers::Action;

/// How long an attempt waits for its action to be loaded with the present secret. It holds its slot meanwhile.
const RELOAD: Duration = Duration::from_secs(5);

/// Whether the attempt failed for good with a secret that has another value by now.
pub(super) fn may_be_old(attempt: &Attempt, action: &Action) -> bool {
    is_for_good(attempt) && action.configured.as_ref().is_ok_and(ConfiguredAction::has_old_secret)
}

/// Whether the attempt failed so that it is not tried again.
pub(super) fn is_for_good(attempt: &Attempt) -> bool {
    attempt.result.as_ref().is_err_and(|failure| !failure.is_transient())
}

/// The same failure, to be tried again.
pub(super) fn retried(mut attempt: Attempt) -> Attempt {
    if let Err(failure) = &mut attempt.result {
        let Problem { message, status, .. } = &failure.problem;
        let message =
            format!("{message} (a secret was replaced meanwhile; the action is not loaded with it yet)");
        let status = *status;
        *failure = Failure::of_host(HostFailure::SecretChanged, message);
        failure.problem.status = status;
    }
    attempt
}

impl Dispatch {
    /// The action with its present secrets, once it is loaded; none if that takes too long.
    pub(super) async fn renewed(&self, action: &Action) -> Option<Arc<Action>> {
        let deadline = Instant::now() + RELOAD;
        loop {
            // Armed before the look: what is loaded in between rings.
            let loaded = self.loaded.notified();
            let present = self.snapshot.load().action(&action.observer, &action.name).cloned();
            let is_renewed = |present: &Arc<Action>| {
                !std::ptr::eq(Arc::as_ptr(present), action)
                    && present.configured.as_ref().is_ok_and(|configured| !configured.has_old_secret())
            };
            match present {
                Some(present) if is_renewed(&present) => return Some(present),
                // Its observer was removed, or does not load.
                None => return None,
                Some(_) => {}
            }
            self.reload.notify_one();
            timeout_at(deadline, loaded).await.ok()?;
        }
    }
}
