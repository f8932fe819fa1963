//! `[runtime]`: the engine that runs plugins.

use std::path::PathBuf;

use crate::document::Section;

/// `[runtime]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuntimeConfig {
    /// Where compiled plugins are kept; without one, the user's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// Largest component, MiB.
    pub max_component_mb: u64,
    /// Processor time that compiling one component may take.
    pub compile_cpu_secs: u64,
    /// Memory that compiling one component may take, MiB.
    pub compile_memory_mb: u64,
}

impl RuntimeConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            cache_dir: section.text("cache_dir").map(PathBuf::from),
            max_component_mb: section.whole("max_component_mb", default.max_component_mb, 1..=1024),
            compile_cpu_secs: section.whole("compile_cpu_secs", default.compile_cpu_secs, 1..=3600),
            compile_memory_mb: section.whole("compile_memory_mb", default.compile_memory_mb, 64..=65_536),
        };
        section.finish();
        config
    }
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            // Those of Python have 18 to 40.
            max_component_mb: 64,
            // The largest that are known take 7 s.
            compile_cpu_secs: 120,
            // The largest that are known take 340 MiB.
            compile_memory_mb: 2048,
        }
    }
}
