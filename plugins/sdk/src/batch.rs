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
