//! `[dispatch]`: running deliveries.

use crate::document::Section;

/// `[dispatch]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DispatchConfig {
    /// Deliveries that this host owns and has not started.
    pub channel_capacity: usize,
    /// Actions that run at once, in all.
    pub max_concurrency: usize,
    /// Actions that run at once towards one destination.
    pub per_destination: usize,
    /// After so long without a heartbeat, others take a host's deliveries.
    pub lease_timeout_ms: u64,
    /// How long running actions may finish after a signal to stop.
    pub shutdown_grace_ms: u64,
}

impl DispatchConfig {
    /// A second or so of work at full speed: enough that workers never wait for the database between two batches of
    /// 500, and small enough to be handed back at once when the host stops.
    pub const DEFAULT_CHANNEL_CAPACITY: usize = 1000;
    /// Actions mostly wait for the network; 64 of them keep two cores busy and fit the instance pool's memory.
    pub const DEFAULT_MAX_CONCURRENCY: usize = 64;
    /// A quarter of all: one destination that hangs leaves three quarters to the others.
    pub const DEFAULT_PER_DESTINATION: usize = 16;
    /// Above this, what one host owns takes longer than a lease.
    const MAX_CHANNEL_CAPACITY: u64 = 100_000;
    /// Above this, instances alone need more memory than a host has.
    const MAX_CONCURRENCY: u64 = 4096;

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            channel_capacity: section.whole(
                "channel_capacity",
                default.channel_capacity,
                1..=Self::MAX_CHANNEL_CAPACITY,
            ),
            max_concurrency: section.whole(
                "max_concurrency",
                default.max_concurrency,
                1..=Self::MAX_CONCURRENCY,
            ),
            per_destination: section.whole(
                "per_destination",
                default.per_destination,
                1..=Self::MAX_CONCURRENCY,
            ),
            lease_timeout_ms: section.whole("lease_timeout_ms", default.lease_timeout_ms, 100..=3_600_000),
            shutdown_grace_ms: section.whole("shutdown_grace_ms", default.shutdown_grace_ms, 0..=600_000),
        };
        section.finish();
        config
    }
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            channel_capacity: Self::DEFAULT_CHANNEL_CAPACITY,
            max_concurrency: Self::DEFAULT_MAX_CONCURRENCY,
            per_destination: Self::DEFAULT_PER_DESTINATION,
            lease_timeout_ms: 30_000,
            shutdown_grace_ms: 10_000,
        }
    }
}
