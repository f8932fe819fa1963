//! `[intake]`: from committed changes to deliveries.

use crate::document::Section;

/// `[intake]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntakeConfig {
    /// Changes taken in one transaction.
    pub batch_size: usize,
    /// How long a change waits at most when its doorbell was not heard.
    pub poll_interval_ms: u64,
}

impl IntakeConfig {
    /// 500 rows keep one transaction at a few milliseconds and its memory at a few megabytes, while the cost of the
    /// commit is spread far enough that more rows gain nothing measurable.
    pub const DEFAULT_BATCH_SIZE: usize = 500;
    /// Above this, one transaction holds its rows and the database's write lock for seconds.
    const MAX_BATCH_SIZE: u64 = 10_000;

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            batch_size: section.whole("batch_size", default.batch_size, 1..=Self::MAX_BATCH_SIZE),
            poll_interval_ms: section.whole("poll_interval_ms", default.poll_interval_ms, 1..=60_000),
        };
        section.finish();
        config
    }
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self { batch_size: Self::DEFAULT_BATCH_SIZE, poll_interval_ms: 100 }
    }
}
