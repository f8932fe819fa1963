//! Dropping what is old.

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use crate::Result;

/// Drops old events and attempt logs.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Deletes up to `limits.batch` events and log rows each that are older than their limit. An event that is still
    /// in the inbox or has a live delivery stays; dead letters keep their own copies, and neither they nor quarantined rows are ever dropped here.
    async fn purge(&self, limits: RetentionLimits) -> Result<Purged>;
}

/// What is old.
#[derive(Clone, Copy, Debug)]
pub struct RetentionLimits {
    /// Events that occurred before this.
    pub events_before: Timestamp,
    /// Attempt logs and dead letter history from before this.
    pub log_before: Timestamp,
    /// Rows to delete at most in one call, each of events and logs.
    pub batch: usize,
}

/// What was dropped.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Purged {
    /// Events.
    pub events: usize,
    /// Rows of logs and history.
    pub log_rows: usize,
    /// Whether there is more to drop at once.
    pub more: bool,
}
