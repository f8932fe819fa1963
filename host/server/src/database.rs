//! Opens the database that the configuration names: the one place that names the backends.

use std::sync::Arc;

use aftercommit_store::{Backend, Result, SqliteOptions, SqliteStore, StoreError};

use crate::config::{DatabaseConfig, without_password};

/// What to do about a database file that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// Make an empty one: for `migrate`.
    IsMade,
    /// A mistyped path must not start an empty database.
    IsAnError,
}

/// Opens the database. Applies no migration and checks none.
pub async fn open(config: &DatabaseConfig, missing: Missing) -> Result<Arc<dyn Backend>> {
    if config.url.starts_with("sqlite:") {
        let options = SqliteOptions { create: missing == Missing::IsMade, ..SqliteOptions::default() };
        return Ok(Arc::new(SqliteStore::open(&config.url, options).await?));
    }
    Err(StoreError::BadUrl {
        url: without_password(&config.url),
        why: "this program knows sqlite:FILE only".to_owned(),
    })
}
