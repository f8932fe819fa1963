//! What a loop does when the database does not answer: it waits longer each time, and says so without flooding.

use std::{fmt::Display, time::Duration};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Counts failures in a row of one duty.
pub(super) struct Patience {
    duty: &'static str,
    failures: u32,
}

impl Patience {
    pub(super) const fn new(duty: &'static str) -> Self {
        Self { duty, failures: 0 }
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        if self.failures > 0 {
            tracing::info!(duty = self.duty, failures = self.failures, "works again");
            self.failures = 0;
        }
    }

    /// It failed: logs the first failure and then each time the count has doubled; returns how long to wait.
    pub(super) fn failed(&mut self, error: &dyn Display) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_power_of_two() {
            tracing::error!(duty = self.duty, failures = self.failures, %error, "failed, will try again");
        }
        FIRST.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_but_not_for_ever() {
        let mut patience = Patience::new("test");
        assert_eq!(patience.failed(&"x"), Duration::from_millis(100));
        assert_eq!(patience.failed(&"x"), Duration::from_millis(200));
        for _ in 0..100 {
            patience.failed(&"x");
        }
        assert_eq!(patience.failed(&"x"), LONGEST);
        patience.reset();
        assert_eq!(patience.failed(&"x"), FIRST);
    }
}
