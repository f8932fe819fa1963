//! Rates that hosts have learned from the refusals of destinations and addresses (429 without a time).

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use crate::{Lane, Result, Target, holds::lanes_of_json, readable::readable, row::Row};

/// Keeps learned rates, and reads them.
#[async_trait]
pub trait LearnedRates: Send + Sync {
    /// All of them, by kind and name.
    async fn learned_rates(&self) -> Result<Vec<PacedTarget>>;

    /// Writes one; where there is one already, its `since` stays.
    async fn keep_rate(&self, rate: PacedTarget) -> Result<()>;

    /// Removes that of a target, if there is one that was not written after `at`.
    async fn forget_rate(&self, target: Target, at: Timestamp) -> Result<()>;
}

/// One row of `observer_learned_rates`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacedTarget {
    /// A destination or an address.
    pub target: Target,
    /// Calls that one host sends in a minute.
    pub per_minute: u32,
    /// When a call was refused first.
    pub since: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// The lanes whose deliveries are sent at this rate, when it was written.
    pub lanes: Vec<Lane>,
}

impl PacedTarget {
    fn read(row: &impl Row) -> Result<Self> {
        Ok(Self {
            target: Target::of_columns(row.text("kind")?, row.text("name")?, "")
                .ok_or_else(|| row.unreadable("kind", &"it is no kind of target"))?,
            per_minute: row.count("per_minute")?,
            since: row.time("since")?,
            updated_at: row.time("updated_at")?,
            lanes: lanes_of_json(row.text("lanes")?).map_err(|why| row.unreadable("lanes", &why))?,
        })
    }
}

/// The rates that can be read.
pub(crate) fn read_all(rows: &[impl Row]) -> Vec<PacedTarget> {
    readable("observer_learned_rates", &["kind", "name"], rows, PacedTarget::read)
}
