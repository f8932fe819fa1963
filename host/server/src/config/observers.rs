//! `[observers]`: where observers are written and when changes of them are picked up.

use std::path::{Path, PathBuf};

use crate::document::Section;

/// `[observers]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObserversConfig {
    /// Applied when the host starts; TOML, YAML or JSON by its extension.
    pub file: PathBuf,
    /// How often the table is looked at, for changes whose notification was not heard.
    pub reload_interval_secs: u64,
}

impl ObserversConfig {
    const DEFAULT_FILE: &'static str = "observers.toml";

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            file: section.text("file").map_or(default.file, PathBuf::from),
            reload_interval_secs: section.whole(
                "reload_interval_secs",
                default.reload_interval_secs,
                1..=86_400,
            ),
        };
        section.finish();
        config
    }

    /// Whether the file must be there: the default one may be missing, one that somebody named may not.
    #[must_use]
    pub fn file_is_required(&self) -> bool {
        self.file != Path::new(Self::DEFAULT_FILE)
    }
}

impl Default for ObserversConfig {
    fn default() -> Self {
        Self { file: Self::DEFAULT_FILE.into(), reload_interval_secs: 60 }
    }
}
