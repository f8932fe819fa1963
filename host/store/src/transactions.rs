//! What became of the transactions of this process: how many there were of each name, and what they cost.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// For whoever watches a host.
pub trait Transactions {
    /// The transactions that wrote since the database was opened, by name.
    fn transactions(&self) -> Vec<TransactionCount>;
}

/// The transactions of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionCount {
    /// What they do, in one word: `take`, `complete`.
    pub name: &'static str,
    /// Committed.
    pub done: u64,
    /// Given up with an error, for this time.
    pub failed: u64,
    /// Run once more because others were in the way: serialization failures and deadlocks.
    pub repeated: u64,
    /// From the first statement to the answer of the commit, in sum. Waiting for a connection is not counted.
    pub took: Duration,
    /// The longest of them.
    pub longest: Duration,
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, TransactionCount>>);

impl Tally {
    /// A transaction ended for the first time or again: it took so long, and is done, or failed, or is repeated.
    pub(crate) fn ended(&self, name: &'static str, took: Duration, how: Ended) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(name).or_insert(TransactionCount {
            name,
            done: 0,
            failed: 0,
            repeated: 0,
            took: Duration::ZERO,
            longest: Duration::ZERO,
        });
        match how {
            Ended::Done => count.done += 1,
            Ended::Failed => count.failed += 1,
            Ended::Repeated => count.repeated += 1,
        }
        count.took += took;
        count.longest = count.longest.max(took);
    }

    pub(crate) fn counts(&self) -> Vec<TransactionCount> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }
}

/// How one run of a transaction ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Done,
    Failed,
    Repeated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_counted_by_itself() {
        let tally = Tally::default();
        let millis = Duration::from_millis;
        tally.ended("take", millis(5), Ended::Repeated);
        tally.ended("take", millis(2), Ended::Done);
        tally.ended("complete", millis(1), Ended::Failed);
        let count = |name, done, failed, repeated, took, longest| TransactionCount {
            name,
            done,
            failed,
            repeated,
            took: millis(took),
            longest: millis(longest),
        };
        assert_eq!(tally.counts(), [count("complete", 0, 1, 0, 1, 1), count("take", 1, 0, 1, 7, 5)]);
    }
}
