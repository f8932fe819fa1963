//! `[runtime]`: the engine that runs plugins.

use std::path::PathBuf;

use crate::document::Section;

/// `[runtime]`
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RuntimeConfig {
    /// Where compiled plugins are kept; without one, the user's cache folder.
    pub cache_dir: Option<PathBuf>,
}

impl RuntimeConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self { cache_dir: section.text("cache_dir").map(PathBuf::from) };
        section.finish();
        config
    }
}
