//! Rows that could not become events.

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use serde::Serialize;

use crate::{
    Result,
    page::{Page, Whole},
};

/// Lists rows that could not become events, shows them, puts them back into the inbox and discards them.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// The newest first, page by page: those below a number where an earlier page ended, or from the newest on; at most `limit`.
    async fn quarantined_page(&self, below: Option<i64>, limit: usize) -> Result<Page<QuarantinedRow, i64>>;

    /// The newest ones, for a list that is known to be short.
    async fn quarantined(&self, limit: usize) -> Result<Vec<QuarantinedRow>> {
        let mut whole = Whole::new(limit);
        while whole.goes_on() {
            whole.add(self.quarantined_page(whole.after(), limit).await?);
        }
        Ok(whole.rows())
    }

    /// The numbers of some rows, in the order in which they were put aside: from one on, and up to another, both included.
    async fn quarantined_ids(&self, from: i64, up_to: i64) -> Result<Vec<i64>>;

    /// One row with what was captured of it.
    async fn quarantined_row(&self, id: i64) -> Result<QuarantinedImage>;

    /// An error for the first of these that is not there.
    async fn require_quarantined(&self, ids: &[i64]) -> Result<()>;

    /// Puts rows back into the inbox as they were captured, in the order in which they were put aside, some in each transaction. An error
    /// in the middle leaves the rest. Returns the ids of those that were still there. What still is no event comes back into
    /// quarantine.
    async fn retry_quarantined(&self, ids: Vec<i64>) -> Result<Vec<i64>>;

    /// Deletes rows, in the same way. Returns how many there were.
    async fn discard_quarantined(&self, ids: Vec<i64>) -> Result<usize>;

    /// Puts all rows of this moment back, and reports each part of them when it is durable. What comes back into quarantine meanwhile
    /// has a higher number, and is left there.
    async fn retry_all_quarantined(
        &self,
        put_back: &mut (dyn for<'i> FnMut(&'i [i64]) + Send),
    ) -> Result<()> {
        // Where a page of one row ends is its number, also if it can not be read.
        let Some(newest) = self.quarantined_page(None, 1).await?.next else { return Ok(()) };
        let mut from = i64::MIN;
        loop {
            let ids = self.quarantined_ids(from, newest).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            from = last + 1;
            put_back(&self.retry_quarantined(ids).await?);
        }
    }
}

/// Numbers that are read at once.
pub(crate) const MAX_IDS: usize = 1000;

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
