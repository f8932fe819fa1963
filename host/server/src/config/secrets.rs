//! `[secrets]`: where `${secret:NAME}` is looked up.

use std::path::PathBuf;

use crate::document::Section;

/// `[secrets]`
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SecretsConfig {
    /// A folder with one file a secret, named as the secret; asked before the environment.
    pub dir: Option<PathBuf>,
}

impl SecretsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self { dir: section.text("dir").map(PathBuf::from) };
        section.finish();
        config
    }
}
