//! How many deliveries of an action run in one call.

use aftercommit_core::BatchConfig;

use crate::document::Section;

pub(super) fn read(mut section: Section<'_>) -> BatchConfig {
    let default = BatchConfig::default();
    let batch = BatchConfig {
        max_items: section.whole("max_items", default.max_items, 1..=u64::from(BatchConfig::MAX_ITEMS)),
        max_wait_ms: section.whole("max_wait_ms", default.max_wait_ms, 0..=BatchConfig::MAX_WAIT_MS),
    };
    section.finish();
    batch
}
