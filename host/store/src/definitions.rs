//! The table `tb_observer`: the one source of truth for observers.

use aftercommit_core::{ObserverDefinition, Timestamp};
use async_trait::async_trait;
use serde::Serialize;

use crate::{Result, hosts::HostId};

/// Reads and writes observers.
#[async_trait]
pub trait Definitions: Send + Sync {
    /// A number that grows with every change of the table, whoever made it (also by SQL).
    async fn revision(&self) -> Result<i64>;

    /// Returns when the revision may no longer be `revision`, by whatever the backend hears; may return for nothing, and
    /// may miss a change: the caller polls behind it.
    async fn definitions_bell(&self, revision: i64);

    /// The whole table and its revision, of one moment.
    async fn load(&self) -> Result<ObserverTable>;

    /// Inserts or updates by name, in one transaction; with `prune` removes all others. With `dry_run` nothing is
    /// written and the result says what would be. Rows that are the same are not touched (the revision stays).
    async fn apply(
        &self,
        observers: Vec<ObserverDefinition>,
        prune: bool,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Applied>;

    /// Enables or disables by name.
    async fn set_enabled(&self, name: &str, enabled: bool, now: Timestamp) -> Result<()>;

    /// Removes by name. Deliveries of the observer that have not ended end dead as `observer_removed`.
    async fn remove_observer(&self, name: &str) -> Result<()>;

    /// `host` works with the observers of this revision now: enters that, and replaces what it says of those that do not
    /// load, as (name, error).
    async fn report_loaded(
        &self,
        host: HostId,
        revision: i64,
        errors: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<()>;
}

/// The table at one moment.
#[derive(Clone, Default, Debug)]
pub struct ObserverTable {
    /// Its revision.
    pub revision: i64,
    /// Its rows, by descending priority, then by name.
    pub rows: Vec<ObserverRow>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct ObserverRow {
    /// Unique.
    pub name: String,
    /// As written, or why the row is no definition (someone wrote it by SQL).
    pub definition: std::result::Result<ObserverDefinition, String>,
    /// Enabled, also when the definition can not be read.
    pub enabled: bool,
    /// What running hosts say of it, if it does not load.
    pub load_error: Option<String>,
    /// When the row was written last.
    pub updated_at: Timestamp,
}

/// What an application of definitions did, by name.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Applied {
    /// New ones.
    pub created: Vec<String>,
    /// Changed ones.
    pub updated: Vec<String>,
    /// Those that were the same already.
    pub unchanged: Vec<String>,
    /// Removed by `prune`.
    pub removed: Vec<String>,
}
