//! Whether this host still owns what it has claimed, as far as it can know.
//!
//! Other hosts take over from one whose heartbeat is older than the lease. A host that was stopped (SIGSTOP, a debugger, a machine
//! without memory) goes on in the middle of what it did: by its monotonic clock it sees that its lease is over, and begins
//! nothing that another host may have begun meanwhile. An attempt that was under way goes on; its end is refused if it is stale.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The lease of this host.
pub(super) struct Lease {
    timeout: Duration,
    began: Instant,
    /// When the last heartbeat that was written was begun; microseconds after `began`.
    renewed_us: AtomicU64,
}

impl Lease {
    /// One that is renewed now.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, began: Instant::now(), renewed_us: AtomicU64::new(0) }
    }

    /// A heartbeat was written; `begun` is before the time that it names.
    pub(super) fn renew(&self, begun: Instant) {
        let renewed = begun.saturating_duration_since(self.began).as_micros();
        self.renewed_us.store(u64::try_from(renewed).unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether no other host can have taken over yet.
    pub(super) fn is_held(&self) -> bool {
        let renewed = Duration::from_micros(self.renewed_us.load(Relaxed));
        self.began.elapsed().saturating_sub(renewed) < self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_until_it_was_not_renewed_for_its_time() {
        assert!(Lease::new(Duration::from_hours(1)).is_held());
        let over = Lease::new(Duration::ZERO);
        assert!(!over.is_held());
        let began = Instant::now().checked_sub(Duration::from_secs(90)).unwrap();
        let lease = Lease { began, ..Lease::new(Duration::from_mins(1)) };
        assert!(!lease.is_held());
        lease.renew(began + Duration::from_secs(40));
        assert!(lease.is_held());
    }
}
