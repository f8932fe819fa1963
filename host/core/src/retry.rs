//! When to try again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `Retry-After` and `throttled` may ask for more than `max_delay_ms`, but no more than this many times it.
pub const THROTTLE_FACTOR: u64 = 10;

/// When and how often to try again.
///
/// The default tries for some three hours, so that a receiver can be restarted or repaired without a dead letter.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// How often to try in all, the first time included; at least 1.
    pub max_attempts: u32,
    /// The pause after the first failure.
    pub initial_delay_ms: u64,
    /// No pause is longer.
    pub max_delay_ms: u64,
    /// How the pauses grow.
    pub backoff_strategy: BackoffStrategy,
    /// 0 to 1: pauses are spread over this part of them, to both sides.
    pub jitter: f64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 16,
            initial_delay_ms: 500,
            max_delay_ms: 3_600_000,
            backoff_strategy: BackoffStrategy::Exponential,
            jitter: 0.2,
        }
    }
}

/// How the pauses between attempts grow.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackoffStrategy {
    /// Doubles: 100, 200, 400, ..
    #[default]
    Exponential,
    /// Grows by the first pause: 100, 200, 300, ..
    Linear,
    /// Stays: 100, 100, 100, ..
    Fixed,
}

impl RetryConfig {
    /// The pause after failed attempt `attempt` (counting from 1), before jitter, in milliseconds.
    #[must_use]
    pub fn backoff_ms(&self, attempt: u32) -> u64 {
        let attempt = attempt.max(1);
        let delay_ms = match self.backoff_strategy {
            BackoffStrategy::Exponential => {
                let doublings = attempt - 1;
                if doublings >= u64::BITS {
                    u64::MAX
                } else {
                    self.initial_delay_ms.saturating_mul(1 << doublings)
                }
            }
            BackoffStrategy::Linear => self.initial_delay_ms.saturating_mul(u64::from(attempt)),
            BackoffStrategy::Fixed => self.initial_delay_ms,
        };
        delay_ms.min(self.max_delay_ms)
    }

    /// The pause after failed attempt `attempt`. `unit` is a random number in `[0, 1)` and spreads the pause over
    /// `backoff * (1 ± jitter)`, never beyond `max_delay_ms`.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a jittered pause needs no exact milliseconds, and the cast back saturates"
    )]
    pub fn delay(&self, attempt: u32, unit: f64) -> Duration {
        let backoff_ms = self.backoff_ms(attempt);
        let spread = (backoff_ms as f64) * self.jitter.clamp(0.0, 1.0) * (2.0 * unit.clamp(0.0, 1.0) - 1.0);
        let jittered_ms = (backoff_ms as f64 + spread).max(0.0).round() as u64;
        Duration::from_millis(jittered_ms.min(self.max_delay_ms))
    }

    /// The pause a destination asked for: at least the backoff, at most `max_delay_ms` times [`THROTTLE_FACTOR`].
    #[must_use]
    pub fn throttled(&self, attempt: u32, asked: Duration, unit: f64) -> Duration {
        let bound = Duration::from_millis(self.max_delay_ms.saturating_mul(THROTTLE_FACTOR));
        asked.max(self.delay(attempt, unit)).min(bound)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(backoff_strategy: BackoffStrategy) -> RetryConfig {
        RetryConfig {
            max_attempts: 4,
            initial_delay_ms: 100,
            max_delay_ms: 500,
            backoff_strategy,
            jitter: 0.0,
        }
    }

    #[test]
    fn the_three_strategies() {
        let pauses = |strategy| (1..=4).map(|n| config(strategy).backoff_ms(n)).collect::<Vec<_>>();
        assert_eq!(pauses(BackoffStrategy::Exponential), [100, 200, 400, 500]);
        assert_eq!(pauses(BackoffStrategy::Linear), [100, 200, 300, 400]);
        assert_eq!(pauses(BackoffStrategy::Fixed), [100, 100, 100, 100]);
    }

    #[test]
    fn the_default_outlives_a_restart_of_the_receiver() {
        let default = RetryConfig::default();
        let pauses_ms: Vec<u64> =
            (1..default.max_attempts).map(|attempt| default.backoff_ms(attempt)).collect();
        assert_eq!(pauses_ms[..4], [500, 1000, 2000, 4000]);
        assert_eq!(pauses_ms[12..], [2_048_000, 3_600_000, 3_600_000]);
        assert_eq!(pauses_ms.iter().sum::<u64>(), 11_295_500, "three hours and eight minutes");
        assert_eq!(
            default.delay(15, 0.999),
            Duration::from_hours(1),
            "jitter stays within the longest pause"
        );
        assert_eq!(default.delay(1, 0.0), Duration::from_millis(400));
    }

    #[test]
    fn a_request_for_time_is_honoured_within_bounds() {
        let config = config(BackoffStrategy::Fixed);
        assert_eq!(config.throttled(1, Duration::from_secs(2), 0.5), Duration::from_secs(2));
        assert_eq!(config.throttled(1, Duration::from_hours(1), 0.5), Duration::from_secs(5));
        assert_eq!(config.throttled(1, Duration::ZERO, 0.5), Duration::from_millis(100));
    }

    proptest! {
        #[test]
        fn never_beyond_the_maximum_and_never_panics(
            initial_delay_ms: u64, max_delay_ms: u64, attempt: u32, jitter in 0.0..=1.0_f64, unit in 0.0..1.0_f64,
            strategy in 0..3_usize,
        ) {
            let backoff_strategy =
                [BackoffStrategy::Exponential, BackoffStrategy::Linear, BackoffStrategy::Fixed][strategy];
            let config = RetryConfig { max_attempts: 3, initial_delay_ms, max_delay_ms, backoff_strategy, jitter };
            prop_assert!(config.delay(attempt, unit) <= Duration::from_millis(max_delay_ms));
        }

        #[test]
        fn without_jitter_pauses_never_shrink(initial_delay_ms in 0..10_000_u64, attempt in 1..1000_u32) {
            let config = RetryConfig { initial_delay_ms, jitter: 0.0, ..RetryConfig::default() };
            prop_assert!(config.delay(attempt, 0.3) <= config.delay(attempt + 1, 0.9));
        }
    }
}
