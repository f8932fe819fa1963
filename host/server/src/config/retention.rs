//! `[retention]`: how long the record of what happened is kept.

use crate::document::Section;

/// `[retention]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetentionConfig {
    /// Days that events are kept. One that still has a delivery to make stays longer.
    pub events_days: u32,
    /// Days that attempts, quarantined rows and the history of dead letters are kept.
    pub log_days: u32,
}

impl RetentionConfig {
    /// A hundred years: for ever.
    const MAX_DAYS: u64 = 36_500;

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            events_days: section.whole("events_days", default.events_days, 1..=Self::MAX_DAYS),
            log_days: section.whole("log_days", default.log_days, 1..=Self::MAX_DAYS),
        };
        section.finish();
        config
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { events_days: 30, log_days: 30 }
    }
}
