//! `[dispatch]`: running deliveries.

use crate::document::Section;

/// `[dispatch]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DispatchConfig {
    /// Deliveries that this host owns at most: running, waiting for their turn, or ended and not yet written.
    pub channel_capacity: usize,
    /// Memory for their events.
    pub memory_mb: usize,
    /// Actions that run at once, in all.
    pub max_concurrency: usize,
    /// Actions that run at once towards one destination.
    pub per_destination: usize,
    /// Fewest failures of one destination after which it is left alone, if most of its last calls failed; 0: never.
    pub breaker_failures: u32,
    /// For how long at first. Doubles each time that it fails again.
    pub breaker_open_ms: u64,
    /// For how long at most, also when it asks for more.
    pub breaker_max_open_ms: u64,
    /// Actions at once that find out whether it works again.
    pub breaker_probes: usize,
    /// Refusals of one endpoint in a row after which it is paused; 0: never.
    pub pause_after_refusals: u32,
    /// After so long without a heartbeat, others take a host's deliveries.
    pub lease_timeout_ms: u64,
    /// How long running actions may finish after a signal to stop.
    pub shutdown_grace_ms: u64,
}

impl DispatchConfig {
    /// A second or so of work at full speed: enough that workers never wait for the database between two batches of
    /// 500, and small enough to be handed back at once when the host stops.
    pub const DEFAULT_CHANNEL_CAPACITY: usize = 1000;
    /// 1000 rows of 8 KiB fit, each counted with the copies that are made of it; beside them, one large row is read and one
    /// runs.
    pub const DEFAULT_MEMORY_MB: usize = 64;
    /// Actions mostly wait for the network; 64 of them keep two cores busy and fit the instance pool's memory.
    pub const DEFAULT_MAX_CONCURRENCY: usize = 64;
    /// A quarter of all: one destination that hangs leaves three quarters to the others.
    pub const DEFAULT_PER_DESTINATION: usize = 16;
    /// Above this, what one host owns takes longer than a lease.
    const MAX_CHANNEL_CAPACITY: u64 = 100_000;
    /// A terabyte.
    const MAX_MEMORY_MB: u64 = 1 << 20;
    /// Above this, instances alone need more memory than a host has.
    pub(super) const MAX_CONCURRENCY: u64 = 4096;
    /// More than fit into the default of `per_destination` is trouble that goes on; fewer may be one bad moment.
    const DEFAULT_BREAKER_FAILURES: u32 = 10;
    /// Many credentials are put right within some failures; nobody mends anything within 20 dead letters.
    const DEFAULT_PAUSE_AFTER_REFUSALS: u32 = 20;
    /// A day.
    const MAX_OPEN_MS: u64 = 86_400_000;

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            channel_capacity: section.whole(
                "channel_capacity",
                default.channel_capacity,
                1..=Self::MAX_CHANNEL_CAPACITY,
            ),
            memory_mb: section.whole("memory_mb", default.memory_mb, 1..=Self::MAX_MEMORY_MB),
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
            breaker_failures: section.whole("breaker_failures", default.breaker_failures, 0..=1_000_000),
            breaker_open_ms: section.whole("breaker_open_ms", default.breaker_open_ms, 1..=Self::MAX_OPEN_MS),
            breaker_max_open_ms: section.whole(
                "breaker_max_open_ms",
                default.breaker_max_open_ms,
                1..=Self::MAX_OPEN_MS,
            ),
            breaker_probes: section.whole(
                "breaker_probes",
                default.breaker_probes,
                1..=Self::MAX_CONCURRENCY,
            ),
            pause_after_refusals: section.whole(
                "pause_after_refusals",
                default.pause_after_refusals,
                0..=1_000_000,
            ),
            lease_timeout_ms: section.whole("lease_timeout_ms", default.lease_timeout_ms, 100..=3_600_000),
            shutdown_grace_ms: section.whole("shutdown_grace_ms", default.shutdown_grace_ms, 0..=600_000),
        };
        if config.breaker_max_open_ms < config.breaker_open_ms {
            let message = format!("is less than `breaker_open_ms`, {}", config.breaker_open_ms);
            section.problem("breaker_max_open_ms", message);
        }
        section.finish();
        config
    }
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            channel_capacity: Self::DEFAULT_CHANNEL_CAPACITY,
            memory_mb: Self::DEFAULT_MEMORY_MB,
            max_concurrency: Self::DEFAULT_MAX_CONCURRENCY,
            per_destination: Self::DEFAULT_PER_DESTINATION,
            breaker_failures: Self::DEFAULT_BREAKER_FAILURES,
            breaker_open_ms: 1000,
            breaker_max_open_ms: 300_000,
            breaker_probes: 1,
            pause_after_refusals: Self::DEFAULT_PAUSE_AFTER_REFUSALS,
            lease_timeout_ms: 30_000,
            shutdown_grace_ms: 10_000,
        }
    }
}
