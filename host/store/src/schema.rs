//! The tables' version.

use async_trait::async_trait;
use serde::Serialize;

use crate::Result;

/// Migrations.
#[async_trait]
pub trait Schema: Send + Sync {
    /// Applies what is missing, and returns it.
    async fn migrate(&self) -> Result<Vec<AppliedMigration>>;

    /// An error unless the schema is exactly the one this program was built with.
    async fn check_schema(&self) -> Result<()>;
}

/// A migration that was applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AppliedMigration {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
}
