//! The tables' version: each migration is applied in a transaction of its own.

use async_trait::async_trait;
use rusqlite::Connection;

use super::{SqliteStore, captures, connection::Sync, failure, statement::statements};
use crate::{
    AppliedMigration, Result, Schema,
    migration::{Migration, Migrations, migrations, of_another},
};

static MIGRATIONS: Migrations = migrations!(
    "sqlite",
    5 "losses" "0005_losses.sql",
    6 "waits" "0006_waits.sql",
    7 "disabled" "0007_disabled.sql",
    8 "host_revision" "0008_host_revision.sql",
    9 "runs" "0009_runs.sql",
    10 "rates" "0010_rates.sql",
    13 "images" "0013_images.sql"
);

statements! {
    CREATE_MIGRATIONS = "-- create_migrations
CREATE TABLE IF NOT EXISTS observer_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
)";
    HAS_MIGRATIONS = "-- has_migrations
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'observer_migrations')";
    ANOTHERS_TABLE = "-- anothers_table
SELECT name FROM sqlite_schema
WHERE type IN ('table', 'view') AND lower(name) IN ('tb_observer', 'tb_observer_log', 'observer_dlq_items', 'observer_dlq_history')
ORDER BY name LIMIT 1";
    SCHEMA_VERSION = "-- schema_version
SELECT coalesce(max(version), 0) FROM observer_migrations";
    INSERT_MIGRATION = "-- insert_migration
INSERT INTO observer_migrations (version, name) VALUES (?1, ?2)";
}

#[async_trait]
impl Schema for SqliteStore {
    async fn migrate(&self) -> Result<Vec<AppliedMigration>> {
        let mut applied = Vec::new();
        for migration in MIGRATIONS.0 {
            let write = self.inner.connections.write("migrate", Sync::Now, |write| apply(write, migration));
            applied.extend(write.await?);
        }
        if !applied.is_empty() {
            // Triggers of older programs go on working until here.
            self.inner.connections.write("refresh_captures", Sync::Now, captures::refresh_older).await?;
        }
        Ok(applied)
    }

    async fn check_schema(&self) -> Result<()> {
        self.inner.connections.read(|connection| MIGRATIONS.check(version(connection)?)).await
    }
}

/// Applies a migration, unless it is there.
fn apply(connection: &Connection, migration: &Migration) -> Result<Option<AppliedMigration>> {
    // Looked up under the write lock: another process may be migrating as well.
    let found = version(connection)?;
    if found == 0 {
        refuse_others(connection)?;
    }
    CREATE_MIGRATIONS.call().execute(connection)?;
    if !MIGRATIONS.lacks(migration, found)? {
        return Ok(None);
    }
    connection.execute_batch(migration.sql).map_err(|error| failure::of_step(migration.name, &error))?;
    INSERT_MIGRATION.call().bind(migration.version).bind(migration.name).execute(connection)?;
    Ok(Some(migration.applied()))
}

/// Refuses a database in which another program has tables of our names.
fn refuse_others(connection: &Connection) -> Result<()> {
    match ANOTHERS_TABLE.call().optional(connection)? {
        None => Ok(()),
        Some(record) => Err(of_another(
            record.get::<String>("name")?.as_str(),
            "the database file",
            "name another file in `url` of [database], or rename the table; its observers can be written into a file by hand and \
             put in with `aftercommit observers apply FILE`",
        )),
    }
}

/// The version of the schema; 0 when there is none.
fn version(connection: &Connection) -> Result<i64> {
    if !HAS_MIGRATIONS.call().value::<bool>(connection)? {
        return Ok(0);
    }
    SCHEMA_VERSION.call().value(connection)
}
