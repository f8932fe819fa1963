//! A plugin: a loaded component under the name that an operator gave it.

use std::sync::Arc;

use crate::{
    loading::{descriptor::Descriptor, loaded::Loaded},
    shared::Shared,
};

/// A loaded plugin, under the name that the operator gave it.
pub struct Plugin {
    pub(crate) name: String,
    /// Whether the program carries it inside itself.
    pub(crate) builtin: bool,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) runtime: Arc<Shared>,
}

impl Plugin {
    /// The operator's name for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `sha256:` and the digest of the component.
    pub fn digest(&self) -> &str {
        &self.loaded.compiled.digest
    }

    /// What it says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.loaded.descriptor
    }

    /// The interfaces that it imports, with their versions.
    pub fn imports(&self) -> &[String] {
        &self.loaded.compiled.imports
    }

    /// Whether it takes several deliveries in one call.
    pub fn exports_batch(&self) -> bool {
        self.loaded.compiled.exports_batch
    }

    /// Size of the component.
    pub fn size_bytes(&self) -> u64 {
        self.loaded.compiled.size_bytes
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}
