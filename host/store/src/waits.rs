//! Waits that became too long because the clock was set back since they began.

use std::time::Duration;

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use crate::Result;

/// A wait that begins so much later than now was written by another clock. Clocks that are kept by NTP differ by less.
pub const IN_THE_FUTURE: Duration = Duration::from_secs(1);

/// What upkeep asks of the store when the clock may have been set back.
#[async_trait]
pub trait Waits: Send + Sync {
    /// Each delivery and each destination whose wait began more than [`IN_THE_FUTURE`] after `now` waits from `now` on, for as
    /// long as was planned. Returns how many deliveries were changed. Only reads if there are none. Writes in pieces: an error
    /// may come after some of them.
    async fn pull_in(&self, now: Timestamp) -> Result<usize>;
}
