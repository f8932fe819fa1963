//! Several deliveries of one action in one call: the optional export `batch`.

use crate::{Delivery, Event, Failure, Outcome, Plugin};

/// One delivery of a batch.
pub struct BatchItem<C> {
    /// What happened.
    pub event: Event,
    /// The attempt.
    pub delivery: Delivery,
    /// The configuration, with the templates rendered for this event. All items are of one action, so only templates
    /// differ.
    pub config: C,
}

/// A plugin that also takes several deliveries at once. Exported with [`export_batch!`](crate::export_batch) beside
/// [`export!`](crate::export).
pub trait BatchPlugin: Plugin {
    /// Runs the action once for each item. One result an item, in the same order: each keeps its own retry and dead
    /// letter.
    fn run_batch(items: Vec<BatchItem<Self::Config>>) -> Vec<Result<Outcome, Failure>>;
}

impl Failure {
    /// This failure of a request that so many items share. What may be the fault of one of them (400, 409, 413, 422) is
    /// transient for all: the host makes the last attempt of each alone, and that one tells.
    #[must_use]
    pub fn of_shared_request(self, items: usize) -> Self {
        match self {
            Self::Permanent(problem)
                if items > 1 && matches!(problem.status, Some(400 | 409 | 413 | 422)) =>
            {
                Self::Transient(problem)
            }
            other => other,
        }
    }
}

/// What an item that was not answered for ends with.
pub(crate) fn unanswered() -> Failure {
    Failure::transient("batch_result", "the plugin gave no result for this item of its batch")
}

/// Puts `results` into the places that are still open, in order.
pub(crate) fn fill(
    places: Vec<Option<Result<Outcome, Failure>>>,
    results: Vec<Result<Outcome, Failure>>,
) -> Vec<Result<Outcome, Failure>> {
    let mut results = results.into_iter();
    places
        .into_iter()
        .map(|place| place.or_else(|| results.next()).unwrap_or_else(|| Err(unanswered())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_one_items_fault_is_no_end_for_the_others() {
        let refused =
            |status, items| Failure::permanent("x", "").with_status(status).of_shared_request(items);
        for status in [400, 409, 413, 422] {
            assert!(matches!(refused(status, 2), Failure::Transient(_)), "{status}");
            assert!(matches!(refused(status, 1), Failure::Permanent(_)), "{status}");
        }
        for status in [401, 403, 404, 405, 410] {
            assert!(matches!(refused(status, 2), Failure::Permanent(_)), "{status}");
        }
        assert!(matches!(Failure::permanent("x", "").of_shared_request(2), Failure::Permanent(_)));
    }

    #[test]
    fn results_keep_their_places() {
        let refused = || Err(Failure::misconfigured("config", "no"));
        let done = |summary: &str| Ok(Outcome::new(summary));
        let filled = fill(vec![None, Some(refused()), None, None], vec![done("a"), done("b")]);
        let told: Vec<_> = filled
            .iter()
            .map(|result| match result {
                Ok(outcome) => outcome.summary.as_str(),
                Err(failure) => failure.problem().code.as_str(),
            })
            .collect();
        assert_eq!(told, ["a", "config", "b", "batch_result"]);
    }
}
