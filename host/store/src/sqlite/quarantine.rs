//! Rows that could not become events.

use async_trait::async_trait;

use super::{
    SqliteStore,
    statement::{Record, statements},
};
use crate::{Quarantine, QuarantinedImage, QuarantinedRow, Result, StoreError, row::Row as _};

statements! {
    LIST_QUARANTINED = "-- list_quarantined
SELECT pk_quarantine, event_id, entity_type, entity_id, reason, quarantined_at
FROM observer_quarantine
ORDER BY pk_quarantine DESC LIMIT ?1";
}

#[async_trait]
impl Quarantine for SqliteStore {
    async fn quarantined(&self, limit: usize) -> Result<Vec<QuarantinedRow>> {
        self.inner
            .connections
            .read(move |connection| {
                let records = LIST_QUARANTINED.call().bind_limit(limit).all(connection)?;
                records.iter().map(quarantined_row).collect()
            })
            .await
    }

    async fn quarantined_row(&self, id: i64) -> Result<QuarantinedImage> {
        Err(StoreError::NotFound { what: "quarantined row", name: id.to_string() })
    }

    async fn retry_quarantined(&self, _ids: Option<Vec<i64>>) -> Result<Vec<i64>> {
        Ok(Vec::new())
    }

    async fn discard_quarantined(&self, _ids: Vec<i64>) -> Result<usize> {
        Ok(0)
    }
}

fn quarantined_row(record: &Record) -> Result<QuarantinedRow> {
    // As it was found, a UUID or not.
    QuarantinedRow::read(record, record.optional_string("event_id")?)
}
