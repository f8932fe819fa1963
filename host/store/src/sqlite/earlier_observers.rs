//! Earlier systems keep their observers on PostgreSQL.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{EarlierObserver, EarlierObservers, Result, StoreError};

#[async_trait]
impl EarlierObservers for SqliteStore {
    async fn earlier_observers(&self, _: &str) -> Result<Vec<EarlierObserver>> {
        Err(StoreError::Refused(
            "observers of an earlier system are read from PostgreSQL; name its database, such as \
             `DATABASE_URL=postgres://.. aftercommit observers import FILE`"
                .to_owned(),
        ))
    }
}
