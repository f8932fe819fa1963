//! The migrations: numbered files, applied in order. The first four have the same numbers and names on every backend, in its own
//! SQL; what came later is each backend's own.

use crate::{AppliedMigration, Result, StoreError};

/// One step from a version of the schema to the next.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// All migrations of a backend, in order.
pub(crate) struct Migrations(pub(crate) &'static [Migration]);

/// The migrations in a folder of `migrations/`: the common ones, and the backend's own behind them.
macro_rules! migrations {
    ($folder:literal $(, $version:literal $name:literal $file:literal)*) => {
        $crate::migration::Migrations(&[
            $crate::migration::migrations!(@ $folder, 1, "tables", "0001_tables.sql"),
            $crate::migration::migrations!(@ $folder, 2, "triggers", "0002_triggers.sql"),
            $crate::migration::migrations!(@ $folder, 3, "views", "0003_views.sql"),
            $crate::migration::migrations!(@ $folder, 4, "capture", "0004_capture.sql"),
            $($crate::migration::migrations!(@ $folder, $version, $name, $file),)*
        ])
    };
    (@ $folder:literal, $version:literal, $name:literal, $file:literal) => {
        $crate::migration::Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/", $folder, "/", $file)),
        }
    };
}
pub(crate) use migrations;

impl Migrations {
    /// What this program was built with.
    const fn known(&self) -> i64 {
        match self.0.last() {
            Some(last) => last.version,
            None => 0,
        }
    }

    /// Whether a schema of the version `found` lacks a migration; an error for one that a newer program made.
    pub(crate) const fn lacks(&self, migration: &Migration, found: i64) -> Result<bool> {
        let known = self.known();
        if found > known {
            return Err(StoreError::SchemaNewer { found, known });
        }
        Ok(found < migration.version)
    }

    /// An error unless `found` is the version that this program was built with.
    pub(crate) const fn check(&self, found: i64) -> Result<()> {
        let known = self.known();
        if found > known {
            Err(StoreError::SchemaNewer { found, known })
        } else if found < known {
            Err(StoreError::NotMigrated { found, needed: known })
        } else {
            Ok(())
        }
    }
}

/// What to say of tables that have the names of ours and were made by another program.
pub(crate) fn of_another(table: &str, place: &str, elsewhere: &str) -> StoreError {
    StoreError::Refused(format!(
        "{place} has a table `{table}` already that this program did not make, and nothing was changed: {elsewhere}"
    ))
}

impl Migration {
    pub(crate) fn applied(&self) -> AppliedMigration {
        AppliedMigration { version: self.version, name: self.name.to_owned() }
    }
}
