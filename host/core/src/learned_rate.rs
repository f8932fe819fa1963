//! The rate that a destination takes, learned from its refusals (429 without a time): additive increase, multiplicative decrease (AIMD),
//! as TCP's congestion avoidance (RFC 5681) and the adaptive retry mode of the AWS SDKs do.
//!
//! ```text
//! none ── refused ──▶ slow start: doubles each second ── refused ──▶ avoidance: a twenty-fifth of the ceiling more each second
//!  ▲                                                                     │  ▲ refused: 4/5 of the rate
//!  └────────────── four times the ceiling without a refusal ─────────────┘──┘
//! ```
//!
//! Pure: the ends of calls are its clock, so a rate that is not used does not grow.

/// The learned rate of one destination.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LearnedRate {
    /// Calls a second, once one was refused.
    per_sec: Option<f64>,
    /// The rate at which a call was refused last; none in the slow start.
    ceiling: Option<f64>,
    /// What a first refusal starts with.
    initial: f64,
    epoch: u64,
}

impl LearnedRate {
    /// What remains of the rate after a refusal.
    const DECREASE: f64 = 0.8;
    /// Of the ceiling, in a second.
    const INCREASE: f64 = 0.04;
    /// Of the rate, by one call: a slow rate is not refused after each few calls.
    const INCREASE_BY_ONE: f64 = 0.008;
    /// Natural logarithm of 2: each call of a second adds so much, and the rate doubles.
    const SLOW_START: f64 = std::f64::consts::LN_2;
    /// One call a minute finds out whether the destination takes calls again.
    const LEAST: f64 = 1.0 / 60.0;
    /// Far above the rate that was refused, there is none any more.
    const FORGOTTEN: f64 = 4.0;

    /// No rate. After the first refusal it begins with as many calls a second as the destination may have at once.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        let initial = f64::from(u32::try_from(concurrency).unwrap_or(u32::MAX)).max(1.0);
        Self { per_sec: None, ceiling: None, initial, epoch: 0 }
    }

    /// What was learned before, and stood at so many calls a second: the destination is not found out from nothing again.
    #[must_use]
    pub fn recalled(per_sec: f64, concurrency: usize) -> Self {
        let per_sec = per_sec.max(Self::LEAST);
        Self { per_sec: Some(per_sec), ceiling: Some(per_sec), ..Self::new(concurrency) }
    }

    /// Calls a second, if the destination has refused any.
    #[must_use]
    pub const fn per_sec(&self) -> Option<f64> {
        self.per_sec
    }

    /// Calls that begin now belong to this epoch. A refusal of a call of an earlier one says nothing of the present rate.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The destination took a call.
    pub fn taken(&mut self) {
        let Some(per_sec) = self.per_sec else { return };
        let more = match self.ceiling {
            None => Self::SLOW_START,
            Some(ceiling) => (Self::INCREASE * ceiling / per_sec).min(Self::INCREASE_BY_ONE * per_sec),
        };
        let grown = per_sec + more;
        let is_forgotten = self.ceiling.is_some_and(|ceiling| grown > Self::FORGOTTEN * ceiling);
        self.per_sec = (!is_forgotten).then_some(grown);
        if is_forgotten {
            self.ceiling = None;
        }
    }

    /// The destination refused a call of this epoch because of its rate. Whether the rate changed.
    pub fn refused(&mut self, epoch: u64) -> bool {
        if epoch != self.epoch {
            return false;
        }
        self.epoch += 1;
        match self.per_sec {
            None => self.per_sec = Some(self.initial),
            Some(per_sec) => {
                self.ceiling = Some(per_sec.max(Self::LEAST));
                self.per_sec = Some((per_sec * Self::DECREASE).max(Self::LEAST));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use super::*;
    use crate::{Rate, Timestamp, TokenBucket};

    /// A receiver that takes so many calls a second and a few at once, as nginx's `limit_req` does.
    struct Receiver {
        per_sec: f64,
        burst: f64,
        tokens: f64,
        at_us: i64,
    }

    impl Receiver {
        fn take(&mut self, at_us: i64) -> bool {
            let passed = Duration::from_micros((at_us - self.at_us).unsigned_abs()).as_secs_f64();
            self.tokens = (self.tokens + passed * self.per_sec).min(self.burst + 1.0);
            self.at_us = at_us;
            let has = self.tokens >= 1.0;
            self.tokens -= f64::from(u8::from(has));
            has
        }
    }

    /// Calls as fast as they may be, 16 at once, for so many seconds; how many were taken and refused since the tenth.
    fn run(receiver: &mut Receiver, latency_us: i64, secs: i64) -> (u32, u32) {
        let mut learned = LearnedRate::new(16);
        let mut bucket = TokenBucket::empty(Rate { per_sec: 1.0, burst: 1 }, Timestamp::from_micros(0));
        let (mut taken, mut refused) = (0, 0);
        let mut under_way: VecDeque<(i64, u64, bool)> = VecDeque::new();
        for at_us in (0..secs * 1_000_000).step_by(1000) {
            while let Some((_, epoch, was_taken)) = under_way.pop_front_if(|(end_us, ..)| *end_us <= at_us) {
                if was_taken {
                    learned.taken();
                } else {
                    learned.refused(epoch);
                }
                let is_late = at_us >= 10_000_000;
                taken += u32::from(is_late && was_taken);
                refused += u32::from(is_late && !was_taken);
            }
            while under_way.len() < 16 {
                if let Some(per_sec) = learned.per_sec() {
                    bucket.set_rate(Rate { per_sec, burst: 1 });
                    if !bucket.take(Timestamp::from_micros(at_us)) {
                        break;
                    }
                }
                under_way.push_back((at_us + latency_us, learned.epoch(), receiver.take(at_us)));
            }
        }
        (taken, refused)
    }

    #[test]
    fn most_of_what_a_receiver_allows_is_used_and_few_calls_are_refused() {
        for (per_sec, burst) in [(50.0, 5.0), (50.0, 0.0), (5.0, 1.0), (1.0, 0.0), (500.0, 20.0)] {
            for latency_us in [2_000, 20_000, 200_000] {
                let mut receiver = Receiver { per_sec, burst, tokens: burst + 1.0, at_us: 0 };
                let secs = 130;
                let (taken, refused) = run(&mut receiver, latency_us, secs);
                // Sixteen at once can not be more than this.
                let most = per_sec.min(16.0 * 1e6 / f64::from(i32::try_from(latency_us).unwrap()));
                let part = f64::from(taken) / (most * 120.0);
                let waste = f64::from(refused) / f64::from(taken + refused);
                let what = format!(
                    "{per_sec}/s, burst {burst}, {latency_us} us: {part:.2} used, {waste:.3} refused"
                );
                assert!(part >= 0.8 && waste <= 0.05, "{what}");
            }
        }
    }

    #[test]
    fn what_was_learned_before_goes_on() {
        let mut learned = LearnedRate::recalled(50.0, 16);
        assert_eq!(learned.per_sec(), Some(50.0));
        assert!(learned.refused(0));
        assert_eq!(learned.per_sec(), Some(40.0));
        assert_eq!(LearnedRate::recalled(0.0, 16).per_sec(), Some(1.0 / 60.0));
    }

    #[test]
    fn refusals_of_one_moment_count_once() {
        let mut learned = LearnedRate::new(16);
        assert_eq!((learned.per_sec(), learned.refused(0), learned.per_sec()), (None, true, Some(16.0)));
        assert!(!learned.refused(0));
        assert!(learned.refused(1));
        assert_eq!(learned.per_sec(), Some(16.0 * 0.8));
        learned.taken();
        let grown = learned.per_sec().unwrap();
        assert!(grown > 12.8 && grown < 12.9, "{grown}");
    }

    #[test]
    fn what_is_refused_for_ever_is_tried_once_a_minute_and_a_rate_that_is_over_is_forgotten() {
        let mut learned = LearnedRate::new(16);
        for _ in 0..100 {
            learned.refused(learned.epoch());
        }
        assert_eq!(learned.per_sec(), Some(1.0 / 60.0));
        let calls = (0..100_000).find(|_| {
            learned.taken();
            learned.per_sec().is_none()
        });
        assert!(calls.is_some(), "{learned:?}");
        assert!(learned.refused(learned.epoch()) && learned.per_sec() == Some(16.0));
    }
}
