//! Existing rows become events.

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::SqliteStore;
use crate::{Backfill, BackfillRequest, Backfills, Result, StoreError};

#[async_trait]
impl Backfills for SqliteStore {
    async fn start_backfill(&self, request: BackfillRequest, _now: Timestamp) -> Result<Backfill> {
        Err(StoreError::Refused(request.table))
    }

    async fn backfill_page(&self, table: &str, _rows: usize, _now: Timestamp) -> Result<Backfill> {
        Err(StoreError::Refused(table.to_owned()))
    }
}
