//! Waits that a clock which was set back has made longer than they were meant to be.

use std::time::Duration;

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use crate::Result;

/// A wait that began so much later than now began by another clock. Less is what clocks that are kept by NTP differ by.
pub const IN_THE_FUTURE: Duration = Duration::from_secs(1);

/// What upkeep asks of the store when the clock may have been set back.
#[async_trait]
pub trait Waits: Send + Sync {
    /// Has up to `limit` deliveries, and all destinations, whose waits began more than [`IN_THE_FUTURE`] after `now` wait from
    /// `now` on, for as long as they were to. Returns how many deliveries. Only reads when there are none.
    async fn pull_in(&self, now: Timestamp, limit: usize) -> Result<usize>;
}
