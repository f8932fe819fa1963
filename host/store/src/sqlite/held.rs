//! For how long this process holds the write lock: counted by the minute, and logged. The application waits for as long.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{LockHeld, transactions::Durations};

/// What is counted together.
const SPAN: Duration = Duration::from_mins(1);

/// A transaction that holds the lock for longer is warned of: the first of a minute at once, others with the minute.
const LONG: Duration = Duration::from_millis(100);

/// Counts how long the lock is held.
#[derive(Default)]
pub(super) struct Held(Mutex<Minutes>);

#[derive(Default)]
struct Minutes {
    present: Option<Minute>,
    last: Option<LockHeld>,
}

/// A minute that is not over. It begins with a transaction, so there is none without one.
struct Minute {
    began: Instant,
    durations: Durations,
    held: LockHeld,
    long: u64,
}

/// What is to be logged when a transaction has ended.
#[derive(PartialEq, Debug)]
struct Notes {
    /// A minute that is over, and how many of its transactions were long.
    minute: Option<(LockHeld, u64)>,
    /// The transaction is the first long one of its minute.
    is_first_long: bool,
}

impl Held {
    /// A transaction of this name held the lock for so long, until now.
    pub(super) fn ended(&self, name: &'static str, held: Duration) {
        let notes = self.lock().ended(name, held, Instant::now());
        if let Some((LockHeld { times, by, p50, p99, longest }, long)) = notes.minute {
            if long > 1 {
                tracing::warn!(
                    times,
                    by,
                    ?p50,
                    ?p99,
                    ?longest,
                    long,
                    "the write lock was held for long, more than once in a minute: applications waited"
                );
            } else {
                tracing::debug!(times, by, ?p50, ?p99, ?longest, "the write lock was held");
            }
        }
        if notes.is_first_long {
            tracing::warn!(
                transaction = name,
                ?held,
                "the write lock was held for long: applications waited"
            );
        }
    }

    /// Of the last minute that is over.
    pub(super) fn last(&self) -> Option<LockHeld> {
        self.lock().last
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Minutes> {
        self.0.lock()
    }
}

impl Minutes {
    fn ended(&mut self, name: &'static str, held: Duration, now: Instant) -> Notes {
        let over = self.present.take_if(|minute| now.saturating_duration_since(minute.began) >= SPAN);
        let over = over.map(|minute| (minute.summary(), minute.long));
        self.last = over.map(|(held, _)| held).or(self.last);
        let minute = self.present.get_or_insert_with(|| Minute::begin(now));
        minute.add(name, held);
        Notes { minute: over, is_first_long: held > LONG && minute.long == 1 }
    }
}

impl Minute {
    fn begin(began: Instant) -> Self {
        let held =
            LockHeld { times: 0, p50: Duration::ZERO, p99: Duration::ZERO, longest: Duration::ZERO, by: "" };
        Self { began, durations: Durations::default(), held, long: 0 }
    }

    fn add(&mut self, name: &'static str, held: Duration) {
        self.durations.add(held);
        self.held.times += 1;
        if held >= self.held.longest {
            (self.held.longest, self.held.by) = (held, name);
        }
        self.long += u64::from(held > LONG);
    }

    fn summary(&self) -> LockHeld {
        let percentile = |percent| self.durations.percentile(percent).min(self.held.longest);
        LockHeld { p50: percentile(50), p99: percentile(99), ..self.held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_summed_up_by_the_first_transaction_after_it() {
        let (mut minutes, start) = (Minutes::default(), Instant::now());
        let mut ended = |name, millis, seconds| {
            minutes.ended(name, Duration::from_millis(millis), start + Duration::from_secs(seconds))
        };
        let quiet = Notes { minute: None, is_first_long: false };
        for second in 0..59 {
            assert_eq!(ended("take", 1, second), quiet);
        }
        assert_eq!(ended("complete", 20, 59), quiet);
        let (held, long) = ended("take", 2, 60).minute.unwrap();
        assert_eq!((held.times, held.by, held.longest, long), (60, "complete", Duration::from_millis(20), 0));
        assert!(held.p50 < Duration::from_millis(2) && held.p99 == held.longest, "{held:?}");
        // Nothing happens for a while: the minute is over when something does.
        assert_eq!(ended("take", 1, 1000).minute.unwrap().0.times, 1);
        assert_eq!(minutes.last.unwrap().longest, Duration::from_millis(2));
    }

    #[test]
    fn the_first_long_one_is_named_at_once_and_the_others_with_their_minute() {
        let (mut minutes, start) = (Minutes::default(), Instant::now());
        let mut ended = |millis, seconds| {
            minutes.ended("take", Duration::from_millis(millis), start + Duration::from_secs(seconds))
        };
        let firsts = [(5, 0), (150, 1), (200, 2), (300, 3)]
            .map(|(millis, second)| ended(millis, second).is_first_long);
        assert_eq!(firsts, [false, true, false, false]);
        let next = ended(150, 61);
        assert_eq!((next.minute.unwrap().1, next.is_first_long), (3, true));
    }
}
