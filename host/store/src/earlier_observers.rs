//! Observers of an earlier system, which keeps them in a table that has the name of ours.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::Result;

/// Reads observers that were written for an earlier system.
#[async_trait]
pub trait EarlierObservers: Send + Sync {
    /// The rows of `tb_observer` in a schema, in the order in which they were made. The table is only read, and the
    /// schema of aftercommit itself need not be there yet. A schema without such a table, and a table that is aftercommit's own, are
    /// refused with a message that says what to do.
    async fn earlier_observers(&self, schema: &str) -> Result<Vec<EarlierObserver>>;
}

/// A row: what its columns hold, by name, as the database writes it. Those that are null are left out.
pub type EarlierObserver = BTreeMap<String, String>;

/// The columns without which a table is not one of an earlier system.
pub(crate) const REQUIRED: [&str; 3] = ["name", "condition_expression", "actions"];
