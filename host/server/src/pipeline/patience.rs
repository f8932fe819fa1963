//! What a loop does when the database does not answer: it waits longer each time, and says so without flooding.

use std::{fmt::Display, time::Duration};

use aftercommit_store::StoreError;

use super::fatal::Fatal;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Counts failures in a row of one duty.
pub(super) struct Patience {
    duty: &'static str,
    failures: u32,
    fatal: Fatal,
}

impl Patience {
    pub(super) fn new(duty: &'static str, fatal: &Fatal) -> Self {
        Self { duty, failures: 0, fatal: fatal.clone() }
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        if self.failures > 0 {
            tracing::info!(duty = self.duty, failures = self.failures, "works again");
            self.failures = 0;
        }
    }

    /// The database failed: logs the first failure and then each time the count has doubled; returns how long to wait.
    pub(super) fn failed(&mut self, error: &StoreError) -> Duration {
        self.fatal.look_at(error);
        self.refused(error)
    }

    /// The same of a failure that is not the database's.
    pub(super) fn refused(&mut self, error: &dyn Display) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_power_of_two() {
            tracing::error!(duty = self.duty, failures = self.failures, error = %error, "failed, will try again");
        }
        FIRST.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_but_not_for_ever() {
        let mut patience = Patience::new("test", &Fatal::default());
        let error = StoreError::Locked { database: "d".into(), why: "busy".into() };
        assert_eq!(patience.failed(&error), Duration::from_millis(100));
        assert_eq!(patience.failed(&error), Duration::from_millis(200));
        for _ in 0..100 {
            patience.failed(&error);
        }
        assert_eq!(patience.failed(&error), LONGEST);
        patience.reset();
        assert_eq!(patience.failed(&error), FIRST);
    }
}
