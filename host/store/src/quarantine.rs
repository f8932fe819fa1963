//! Rows that could not become events.

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use serde::Serialize;

use crate::{
    Result, Rows,
    rows::{all, rows},
};

/// Lists rows that could not become events, shows them, puts them back into the inbox and discards them.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// The newest first.
    async fn list_quarantined(&self, limit: usize, found: Rows<QuarantinedRow>) -> Result<()>;

    /// The same as a whole, where it is known to be small.
    async fn quarantined(&self, limit: usize) -> Result<Vec<QuarantinedRow>> {
        let (found, rows) = rows();
        all(self.list_quarantined(limit, found), rows).await
    }

    /// One row with what was captured of it.
    async fn quarantined_row(&self, id: i64) -> Result<QuarantinedImage>;

    /// Puts rows back into the inbox as they were captured, all of them or, with an unknown id, none; `None` means all
    /// that are there. Returns the ids in the order in which they were captured. What still is no event comes back
    /// into quarantine.
    async fn retry_quarantined(&self, ids: Option<Vec<i64>>) -> Result<Vec<i64>>;

    /// Deletes rows, all of them or, with an unknown id, none. Returns how many.
    async fn discard_quarantined(&self, ids: Vec<i64>) -> Result<usize>;
}

/// A row that could not become an event.
#[derive(Clone, Debug, Serialize)]
pub struct QuarantinedRow {
    /// Its number.
    pub id: i64,
    /// The event's id, if the row had one.
    pub event_id: String,
    /// As captured.
    pub entity_type: Option<String>,
    /// As captured.
    pub entity_id: Option<String>,
    /// Why.
    pub reason: String,
    /// When it was put aside.
    pub quarantined_at: Timestamp,
}

/// A row that could not become an event, with all that was captured of it.
#[derive(Clone, Debug, Serialize)]
pub struct QuarantinedImage {
    /// What the list says of it.
    #[serde(flatten)]
    pub row: QuarantinedRow,
    /// As captured.
    pub event_kind: Option<String>,
    /// As captured.
    pub occurred_at: Option<String>,
    /// The image of the row: JSON, or what was found in its place. Bytes that are no UTF-8 are replaced.
    pub data: Option<String>,
    /// The image before an update, likewise.
    pub old: Option<String>,
}
