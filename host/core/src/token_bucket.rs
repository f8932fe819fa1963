//! A token bucket: so many calls a second, a few of them at once. Pure: the time is an argument.
//!
//! Kept as one time instead of a count, as the generic cell rate algorithm does (ITU-T I.371, annex A): `full_at` is when
//! the bucket is full again, and every token that is taken moves it by one interval.

use std::time::Duration;

use crate::time::Timestamp;

/// How many tokens come, and how many may lie in the bucket.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// Tokens a second; more than 0.
    pub per_sec: f64,
    /// Tokens that may lie in the bucket: so many calls can follow each other at once after a pause. 0 counts as 1.
    pub burst: u32,
}

impl Rate {
    /// The share of one of `sharers`, so that all of them together keep the rate.
    #[must_use]
    pub fn shared_by(self, sharers: usize) -> Self {
        let sharers = u32::try_from(sharers).unwrap_or(u32::MAX).max(1);
        Self { per_sec: self.per_sec / f64::from(sharers), burst: (self.burst / sharers).max(1) }
    }

    /// Between two tokens, rounded up: never more than the rate.
    #[must_use]
    pub fn interval(self) -> Duration {
        let secs = (1.0 / self.per_sec).clamp(0.0, 1e9);
        Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX) + Duration::from_nanos(999)
    }

    fn interval_us(self) -> i64 {
        i64::try_from(self.interval().as_micros()).unwrap_or(i64::MAX).max(1)
    }

    fn span_us(self, tokens: u32) -> i64 {
        self.interval_us().saturating_mul(i64::from(tokens))
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: Rate,
    /// When it is full again, in microseconds since 1970; in the past when it is full.
    full_at_us: i64,
}

impl TokenBucket {
    /// An empty one: whoever starts again and again does not get a burst each time.
    #[must_use]
    pub fn empty(rate: Rate, now: Timestamp) -> Self {
        let rate = Rate { burst: rate.burst.max(1), ..rate };
        Self { rate, full_at_us: now.as_micros().saturating_add(rate.span_us(rate.burst)) }
    }

    /// Goes on with another rate.
    pub fn set_rate(&mut self, rate: Rate) {
        self.rate = Rate { burst: rate.burst.max(1), ..rate };
    }

    /// How long until there is a token; zero when there is one.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Duration {
        let first_at = self.full_at(now).saturating_sub(self.rate.span_us(self.rate.burst - 1));
        Timestamp::from_micros(first_at).since(now)
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Timestamp) -> bool {
        if !self.wait(now).is_zero() {
            return false;
        }
        let full_at = self.full_at(now).max(now.as_micros());
        self.full_at_us = full_at.saturating_add(self.rate.interval_us());
        true
    }

    /// Never later than from an empty bucket: a clock that was set back takes no more than a full bucket away.
    fn full_at(&self, now: Timestamp) -> i64 {
        self.full_at_us.min(now.as_micros().saturating_add(self.rate.span_us(self.rate.burst)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn it_starts_empty_and_fills_up_to_its_burst() {
        let mut bucket = TokenBucket::empty(Rate { per_sec: 10.0, burst: 3 }, at(0));
        assert!(!bucket.take(at(99_000)));
        assert_eq!(bucket.wait(at(40_000)), Duration::from_millis(60));
        assert!(bucket.take(at(100_000)) && !bucket.take(at(100_000)));
        let taken = (0..10).filter(|_| bucket.take(at(10_000_000))).count();
        assert_eq!(taken, 3, "no more than its burst, however long the pause");
    }

    #[test]
    fn a_slow_rate_is_no_rate_of_one_a_second() {
        let mut bucket = TokenBucket::empty(Rate { per_sec: 0.1, burst: 1 }, at(0));
        assert_eq!(bucket.wait(at(0)), Duration::from_secs(10));
        assert!(bucket.take(at(10_000_000)) && !bucket.take(at(19_000_000)));
    }

    #[test]
    fn hosts_share_it() {
        let share = Rate { per_sec: 10.0, burst: 3 }.shared_by(4);
        assert_eq!(share, Rate { per_sec: 2.5, burst: 1 });
    }

    #[test]
    fn a_clock_that_was_set_back_costs_one_bucket() {
        let bucket = TokenBucket::empty(Rate { per_sec: 10.0, burst: 2 }, at(1_000_000_000));
        assert_eq!(bucket.wait(at(0)), Duration::from_millis(100));
    }

    proptest! {
        /// In no window are there more than its burst and what came meanwhile.
        #[test]
        fn no_window_has_more_than_the_rate(
            per_sec in 0.5..500.0_f64, burst in 1..20_u32, pauses in proptest::collection::vec(0..200_000_i64, 1..60),
        ) {
            let mut bucket = TokenBucket::empty(Rate { per_sec, burst }, at(0));
            let mut now = 0;
            let mut taken = Vec::new();
            for pause in pauses {
                now += pause;
                while bucket.take(at(now)) {
                    taken.push(now);
                }
            }
            for (first, start) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let most = f64::from(burst) + Duration::from_micros((end - start).unsigned_abs()).as_secs_f64() * per_sec;
                    let count = u32::try_from(last - first + 1).unwrap();
                    prop_assert!(f64::from(count) <= most + 1e-6, "{count} from {start} to {end}, {most}");
                }
            }
        }
    }
}
