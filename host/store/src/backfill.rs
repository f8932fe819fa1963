//! Existing rows become events: for filling a search index or a cache the first time.

use aftercommit_core::{EventKind, Timestamp};
use async_trait::async_trait;
use serde::Serialize;

use crate::Result;

/// Walks over a captured table by its key, page by page.
#[async_trait]
pub trait Backfills: Send + Sync {
    /// Starts a backfill of a captured table, or goes on with the unfinished one of the same table and request.
    /// Refused while an unfinished one with another request is there (unless `restart` is given), and for a change log.
    async fn start_backfill(&self, request: BackfillRequest, now: Timestamp) -> Result<Backfill>;

    /// Makes events of the next page of at most `rows` rows, in one short transaction that also notes how far it is:
    /// killed at any moment, it goes on behind the last page that was committed. A row that is changed meanwhile makes
    /// events of its own.
    async fn backfill_page(&self, table: &str, rows: usize, now: Timestamp) -> Result<Backfill>;
}

/// What to make events of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackfillRequest {
    /// The captured table.
    pub table: String,
    /// Only rows for which this condition is true, beside that of the capture.
    pub condition: Option<String>,
    /// `created` or `custom`.
    pub kind: EventKind,
    /// Whether to begin anew where an unfinished one is there.
    pub restart: bool,
}

/// How far a backfill is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Backfill {
    /// The captured table.
    pub table: String,
    /// Only rows for which this condition is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The kind of its events.
    pub kind: EventKind,
    /// Rows that were read.
    pub rows: u64,
    /// Events that were made of them.
    pub events: u64,
    /// About how many rows the table has, if the database knows.
    pub estimate: Option<u64>,
    /// The key of the last row that was read, as `entity_id`.
    pub last: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
}
