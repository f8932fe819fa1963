//! A component that was loaded and has described itself.

use crate::loading::{Compiled, descriptor::Descriptor, linking::Linked, schema::ConfigSchema};

/// A component, ready to be instantiated; one for each digest.
pub(crate) struct Loaded {
    pub(crate) linked: Linked,
    pub(crate) descriptor: Descriptor,
    pub(crate) schema: ConfigSchema,
    pub(crate) compiled: Compiled,
    /// Shares of the reserve that an instance takes.
    pub(crate) shares_beyond: u32,
}
