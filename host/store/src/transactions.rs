//! What became of the transactions of this process: how many there were of each name, and what they cost.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

/// For whoever watches a host.
pub trait Transactions {
    /// The transactions that wrote since the database was opened, by name.
    fn transactions(&self) -> Vec<TransactionCount>;

    /// For how long this process held the write lock in the last minute that is over and in which it did; `None` before the first,
    /// and where there is no such lock.
    fn lock_held(&self) -> Option<LockHeld>;
}

/// For how long a process held the lock that its database has one of, and for which applications wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockHeld {
    /// By so many transactions.
    pub times: u64,
    /// By half of them no longer, with an error of a fifth.
    pub p50: Duration,
    /// By 99 of 100 no longer, with an error of a fifth.
    pub p99: Duration,
    /// By the one that held it longest.
    pub longest: Duration,
    /// The name of that one.
    pub by: &'static str,
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
    /// From the first statement to the answer of the commit, in sum. Waiting for a connection is not counted. On SQLite the
    /// write lock was held for so long, and applications waited.
    pub took: Duration,
    /// Half of them were no longer, with an error of a fifth.
    pub p50: Duration,
    /// 99 of 100 of them were no longer, with an error of a fifth.
    pub p99: Duration,
    /// The longest of them.
    pub longest: Duration,
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, (TransactionCount, Durations)>>);

impl Tally {
    /// A transaction ended for the first time or again: it took so long, and is done, or failed, or is repeated.
    pub(crate) fn ended(&self, name: &'static str, took: Duration, how: Ended) {
        let mut all = self.0.lock();
        let (count, durations) =
            all.entry(name).or_insert_with(|| (TransactionCount::none(name), Durations::default()));
        match how {
            Ended::Done => count.done += 1,
            Ended::Failed => count.failed += 1,
            Ended::Repeated => count.repeated += 1,
        }
        count.took += took;
        durations.add(took);
        count.longest = count.longest.max(took);
    }

    pub(crate) fn counts(&self) -> Vec<TransactionCount> {
        let all = self.0.lock();
        let counted = |(count, durations): &(TransactionCount, Durations)| TransactionCount {
            p50: durations.percentile(50).min(count.longest),
            p99: durations.percentile(99).min(count.longest),
            ..*count
        };
        all.values().map(counted).collect()
    }
}

impl TransactionCount {
    const fn none(name: &'static str) -> Self {
        Self {
            name,
            done: 0,
            failed: 0,
            repeated: 0,
            took: Duration::ZERO,
            p50: Duration::ZERO,
            p99: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }
}

/// How many were so long, in classes of which each is a fifth longer than the one before.
#[derive(Debug)]
pub(crate) struct Durations([u64; Self::CLASSES]);

impl Durations {
    /// From a microsecond to some minutes.
    const CLASSES: usize = 112;
    const FACTOR: f64 = 1.2;

    pub(crate) fn add(&mut self, took: Duration) {
        let class = (took.as_secs_f64() * 1e6).max(1.0).log(Self::FACTOR).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a small number and no less than 0"
        )]
        let class = (class as usize).min(Self::CLASSES - 1);
        self.0[class] += 1;
    }

    /// The upper bound of the class in which so many of a hundred are reached.
    pub(crate) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.0.iter().sum::<u64>() * percent).div_ceil(100);
        let mut seen = 0;
        for (class, count) in (0_i32..).zip(self.0) {
            seen += count;
            if seen >= wanted {
                return Duration::from_secs_f64(Self::FACTOR.powi(class) / 1e6);
            }
        }
        Duration::ZERO
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self([0; Self::CLASSES])
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
            p50: Duration::ZERO,
            p99: millis(longest),
            longest: millis(longest),
        };
        let counts =
            tally.counts().into_iter().map(|count| TransactionCount { p50: Duration::ZERO, ..count });
        let expected = [count("complete", 0, 1, 0, 1, 1), count("take", 1, 0, 1, 7, 5)];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_few_long_ones_are_seen_beside_many_short_ones() {
        let tally = Tally::default();
        let (p50, p99) = (|| tally.counts()[0].p50, || tally.counts()[0].p99);
        for _ in 0..99 {
            tally.ended("take", Duration::from_micros(900), Ended::Done);
        }
        tally.ended("take", Duration::from_millis(40), Ended::Done);
        tally.ended("take", Duration::from_millis(1), Ended::Done);
        assert!(p99() < Duration::from_millis(2), "{:?}", p99());
        assert!(p50() >= Duration::from_micros(900) && p50() <= Duration::from_micros(1080), "{:?}", p50());
        tally.ended("take", Duration::from_millis(40), Ended::Done);
        assert_eq!(p99(), Duration::from_millis(40));
    }
}
