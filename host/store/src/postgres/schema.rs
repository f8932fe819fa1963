//! The tables' version: each migration is applied in a transaction of its own.

use super::{
    PostgresStore, capture_making, capture_record, captures,
    connection::{Sync, identifier},
    encoding::Encoding,
    failure, locks, retention,
    session::Session,
    statement::{Statement, statements},
    surroundings,
};
use crate::{
    AppliedMigration, Result, Schema, StoreError, commands,
    migration::{Migration, Migrations, migrations, of_another},
};
use aftercommit_core::{shell_command, shell_option};
use async_trait::async_trait;

static MIGRATIONS: Migrations = migrations!(
    "postgres",
    5 "hosts" "0005_hosts.sql",
    6 "losses" "0006_losses.sql",
    7 "waits" "0007_waits.sql",
    8 "disabled" "0008_disabled.sql",
    9 "host_revision" "0009_host_revision.sql",
    10 "runs" "0010_runs.sql",
    11 "rates" "0011_rates.sql"
);

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
    ANOTHERS_TABLE = "-- anothers_table
SELECT relname::text AS name FROM pg_class
WHERE relnamespace = to_regnamespace(quote_ident($1))
  AND relname IN ('tb_observer', 'tb_observer_log', 'observer_dlq_items', 'observer_dlq_history')
ORDER BY relname LIMIT 1";
    SCHEMA_VERSION = "-- schema_version
SELECT coalesce(max(version), 0) FROM observer_migrations";
    /// Those of earlier versions, once no trigger uses them.
    DROP_EARLIER_FUNCTIONS = "-- drop_earlier_functions
SELECT observer_drop_earlier()::text";
    INSERT_MIGRATION = "-- insert_migration
INSERT INTO observer_migrations (version, name) VALUES ($1, $2)";
}

#[async_trait]
impl Schema for PostgresStore {
    async fn migrate(&self) -> Result<Vec<AppliedMigration>> {
        let connections = &self.inner.connections;
        let schema = connections.schema();
        if connections.encoding() == Encoding::SqlAscii {
            return Err(StoreError::Refused(format!(
                "the database {} has the encoding SQL_ASCII, which does not say what its texts mean; aftercommit needs one with \
                 another encoding, such as `createdb --encoding UTF8`",
                connections.database()
            )));
        }
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
        if !applied.is_empty() {
            self.renew_captures().await?;
        }
        surroundings::warn_of_schema(&mut connections.read().await?).await?;
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

impl PostgresStore {
    /// Has the triggers of earlier versions written again. Until then they go on as they were; so one that can not be written now
    /// is named, and the rest goes on.
    async fn renew_captures(&self) -> Result<()> {
        let connections = &self.inner.connections;
        let schema = connections.schema();
        let mut earlier = Vec::new();
        {
            let mut moment = connections.read_transaction().await?;
            for written in capture_record::list(&mut moment).await? {
                if capture_making::is_of_earlier_version(&mut moment, schema, &written).await? {
                    earlier.push(written);
                }
            }
        }
        for written in &earlier {
            let table = written.capture.table.as_str();
            let now = written.capture.created_at;
            let renewed = connections
                .write("renew_capture", Sync::Now, |session| {
                    Box::pin(captures::refresh(session, schema, table, now))
                })
                .await;
            match renewed {
                Ok(_) => tracing::info!(table, "wrote its triggers again"),
                Err(error) => tracing::warn!(
                    table,
                    %error,
                    "its triggers are still those of an earlier version; run `{}`",
                    commands::refresh(table)
                ),
            }
        }
        let dropping = connections.write("drop_earlier_functions", Sync::Now, |session| {
            Box::pin(async move { DROP_EARLIER_FUNCTIONS.call().execute(session).await })
        });
        dropping.await?;
        Ok(())
    }
}

async fn apply(
    session: &mut Session<'_>,
    schema: &str,
    migration: &Migration,
) -> Result<Option<AppliedMigration>> {
    // Looked up without the lock first: whoever only looks needs no right to lock.
    if !MIGRATIONS.lacks(migration, version(session, schema).await?)? {
        return Ok(None);
    }
    if !HAS_SCHEMA.call().bind(schema).value::<bool>(session).await? {
        make(session, "create_schema", &format!("CREATE SCHEMA {}", identifier(schema))).await?;
    }
    let Statement(create_migrations) = CREATE_MIGRATIONS;
    make(session, CREATE_MIGRATIONS.name(), create_migrations).await?;
    locks::migrations(session).await?;
    // Looked up again under the lock: another process may be migrating as well.
    let found = version(session, schema).await?;
    if !MIGRATIONS.lacks(migration, found)? {
        return Ok(None);
    }
    if found == 0 {
        refuse_others(session, schema).await?;
    }
    // Functions name what they use by its schema: they search none but PostgreSQL's own.
    let sql = migration.sql.replace("@schema@", &identifier(schema));
    session.run(migration.name, &sql).await?;
    INSERT_MIGRATION.call().bind(migration.version).bind(migration.name).execute(session).await?;
    Ok(Some(migration.applied()))
}

/// Makes what another process may be making at this moment; then the transaction runs again, and finds it. Names in it are
/// quoted.
async fn make(session: &mut Session<'_>, name: &'static str, sql: &str) -> Result<()> {
    session.send(sql).await.map_err(|error| failure::of_making(name, &error))
}

/// Refuses a schema in which another program has tables of our names.
async fn refuse_others(session: &mut Session<'_>, schema: &str) -> Result<()> {
    let import = shell_command("observers import", "observers.toml", &shell_option("--schema", schema));
    match ANOTHERS_TABLE.call().bind(schema).optional(session).await? {
        None => Ok(()),
        Some(record) => Err(of_another(
            record.get::<String>("name")?.as_str(),
            &format!("the schema `{schema}`"),
            &format!(
                "name a schema of its own in [database], such as schema = \"aftercommit\", and migrate again; if the table is an \
                 earlier system's, `{import}` then writes its observers into a file, for `aftercommit observers apply observers.toml`"
            ),
        )),
    }
}

/// The version of the schema; 0 when there is none.
async fn version(session: &mut Session<'_>, schema: &str) -> Result<i64> {
    if !HAS_MIGRATIONS.call().bind(schema).value::<bool>(session).await? {
        return Ok(0);
    }
    SCHEMA_VERSION.call().value(session).await
}
