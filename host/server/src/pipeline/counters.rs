//! What a host has done since it started.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts since the host started.
        #[derive(Default, Debug)]
        pub struct Counters { $($(#[$doc])* pub(super) $name: AtomicU64,)* }

        /// What a host has done since it started.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
        pub struct Health { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// The counts now.
            pub fn read(&self) -> Health {
                Health { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Events taken from the inbox.
    events,
    /// Inbox rows that could not become events.
    quarantined,
    /// Conditions that could not be evaluated.
    condition_errors,
    /// Attempts that succeeded.
    succeeded,
    /// Attempts that failed and will be tried again.
    retried,
    /// Deliveries that went to the dead letter queue.
    dead,
    /// Deliveries that failed for good under the policies `log` and `alert`.
    failed,
    /// Of these, those under the policy `alert`, told to a person or not.
    alerts,
    /// Completions that came too late: another host owns the delivery.
    stale,
    /// Deliveries handed back unstarted.
    handed_back,
    /// Times that a destination was held back: it failed too often in a row, or asked for it.
    held_back,
    /// Endpoints that were paused.
    paused,
    /// Deliveries freed from hosts that were gone.
    taken_over,
    /// Deliveries freed that this host owned and did not know of, or whose end it could not write.
    lost_track,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Relaxed);
}
