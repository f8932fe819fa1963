//! The tables' version: migrations are numbered files, applied in order, each in a transaction of its own.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, connection::Sync, failure, statement::statements};
use crate::{AppliedMigration, Result, Schema, StoreError};

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../../migrations/sqlite/", $file)),
        }
    };
}

const MIGRATIONS: &[Migration] = &[
    migration!(1, "tables", "0001_tables.sql"),
    migration!(2, "triggers", "0002_triggers.sql"),
    migration!(3, "views", "0003_views.sql"),
];

/// What this program was built with.
const KNOWN: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

statements! {
    CREATE_MIGRATIONS = "-- create_migrations
CREATE TABLE IF NOT EXISTS observer_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
)";
    HAS_MIGRATIONS = "-- has_migrations
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'observer_migrations')";
    SCHEMA_VERSION = "-- schema_version
SELECT coalesce(max(version), 0) FROM observer_migrations";
    INSERT_MIGRATION = "-- insert_migration
INSERT INTO observer_migrations (version, name) VALUES (?1, ?2)";
}

#[async_trait]
impl Schema for SqliteStore {
    async fn migrate(&self) -> Result<Vec<AppliedMigration>> {
        let mut applied = Vec::new();
        for migration in MIGRATIONS {
            let mut write = self.inner.connections.write("migrate", Sync::Now).await?;
            CREATE_MIGRATIONS.call().execute(&mut write).await?;
            // Looked up under the write lock: another process may be migrating as well.
            let found = version(&mut write).await?;
            if found > KNOWN {
                return Err(StoreError::SchemaNewer { found, known: KNOWN });
            }
            if found >= migration.version {
                continue;
            }
            sqlx::raw_sql(migration.sql)
                .execute(&mut *write)
                .await
                .map_err(|error| failure::of_step(migration.name, &error))?;
            INSERT_MIGRATION.call().bind(migration.version).bind(migration.name).execute(&mut write).await?;
            write.commit().await?;
            applied.push(AppliedMigration { version: migration.version, name: migration.name.to_owned() });
        }
        Ok(applied)
    }

    async fn check_schema(&self) -> Result<()> {
        let mut connection = self.inner.connections.read().await?;
        match version(&mut connection).await? {
            KNOWN => Ok(()),
            found if found > KNOWN => Err(StoreError::SchemaNewer { found, known: KNOWN }),
            found => Err(StoreError::NotMigrated { found, needed: KNOWN }),
        }
    }
}

/// The version of the schema; 0 when there is none.
async fn version(connection: &mut SqliteConnection) -> Result<i64> {
    if !HAS_MIGRATIONS.call().value::<bool>(connection).await? {
        return Ok(0);
    }
    SCHEMA_VERSION.call().value(connection).await
}
