//! The tables' version: each migration is applied in a transaction of its own.

use super::{
    PostgresStore,
    connection::{Sync, identifier},
    failure, locks, retention,
    session::Session,
    statement::statements,
};
use crate::{
    AppliedMigration, Result, Schema,
    migration::{Migration, Migrations, migrations},
};
use async_trait::async_trait;

static MIGRATIONS: Migrations = migrations!("postgres");

statements! {
    HAS_SCHEMA = "-- has_schema
SELECT to_regnamespace(quote_ident($1)) IS NOT NULL";
    CREATE_MIGRATIONS = "-- create_migrations
CREATE TABLE IF NOT EXISTS observer_migrations (
    version    bigint PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)";
    HAS_MIGRATIONS = "-- has_migrations
SELECT to_regclass(quote_ident($1) || '.observer_migrations') IS NOT NULL";
    SCHEMA_VERSION = "-- schema_version
SELECT coalesce(max(version), 0) FROM observer_migrations";
    INSERT_MIGRATION = "-- insert_migration
INSERT INTO observer_migrations (version, name) VALUES ($1, $2)";
}

#[async_trait]
impl Schema for PostgresStore {
    async fn migrate(&self) -> Result<Vec<AppliedMigration>> {
        let connections = &self.inner.connections;
        let schema = connections.schema();
        let mut applied = Vec::new();
        for migration in MIGRATIONS.0 {
            let step = connections
                .write("migrate", Sync::Long, |session| Box::pin(apply(session, schema, migration)))
                .await?;
            applied.extend(step);
        }
        connections
            .write("make_partitions", Sync::Now, |session| Box::pin(retention::make_partitions(session)))
            .await?;
        Ok(applied)
    }

    async fn check_schema(&self) -> Result<()> {
        let connections = &self.inner.connections;
        let found = {
            let mut session = connections.read().await?;
            version(&mut session, connections.schema()).await
        };
        MIGRATIONS.check(connections.explained(found).await?)
    }
}

async fn apply(
    session: &mut Session<'_>,
    schema: &str,
    migration: &Migration,
) -> Result<Option<AppliedMigration>> {
    locks::migrations(session).await?;
    if !HAS_SCHEMA.call().bind(schema).value::<bool>(session).await? {
        run(session, "create_schema", format!("CREATE SCHEMA {}", identifier(schema))).await?;
    }
    // Looked up under the lock: another process may be migrating as well.
    let found = version(session, schema).await?;
    if !MIGRATIONS.lacks(migration, found)? {
        return Ok(None);
    }
    CREATE_MIGRATIONS.call().execute(session).await?;
    // Functions name what they use by its schema: they search none but PostgreSQL's own.
    let sql = migration.sql.replace("@schema@", &identifier(schema));
    run(session, migration.name, sql).await?;
    INSERT_MIGRATION.call().bind(migration.version).bind(migration.name).execute(session).await?;
    Ok(Some(migration.applied()))
}

/// Runs statements that can not take arguments. Names in them are quoted.
async fn run(session: &mut Session<'_>, name: &'static str, sql: String) -> Result<()> {
    session.run(&sql).await.map_err(|error| failure::of_step(name, &error))
}

/// The version of the schema; 0 when there is none.
async fn version(session: &mut Session<'_>, schema: &str) -> Result<i64> {
    if !HAS_MIGRATIONS.call().bind(schema).value::<bool>(session).await? {
        return Ok(0);
    }
    SCHEMA_VERSION.call().value(session).await
}
