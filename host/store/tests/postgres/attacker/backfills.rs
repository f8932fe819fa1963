//! What a backfill reads: policies, views, own types.

use aftercommit_core::EventKind;
use aftercommit_store::{BackfillRequest, Backfills as _, PostgresOptions, conformance::TestDatabase as _};

use super::{Attacker, casts, shadows, trap};
use crate::database::{CLUSTER, Database, at};

#[tokio::test]
async fn policies_do_not_run() {
    let mut attacker = Attacker::new().await;
    attacker.run(&trap("evil.fits", "int4", "bool", "true")).await;
    attacker
        .run(
            "CREATE TABLE evil.t (id INTEGER PRIMARY KEY); INSERT INTO evil.t VALUES (1);
             ALTER TABLE evil.t ENABLE ROW LEVEL SECURITY; ALTER TABLE evil.t FORCE ROW LEVEL SECURITY;
             CREATE POLICY p ON evil.t USING (evil.fits(id)) WITH CHECK (evil.fits(id))",
        )
        .await;
    attacker.capture("evil.t").await;
    attacker.run("INSERT INTO evil.t VALUES (2); UPDATE evil.t SET id = 3 WHERE id = 2").await;
    // A superuser's backfill ignores policies; that of another role is refused.
    backfill(&attacker.database, "evil.t").await.unwrap();
    let host = format!("host_of_{}", attacker.database.name);
    attacker
        .database
        .sql(&format!(
            "CREATE ROLE {host} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {host}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {host};
             GRANT ALL ON evil.t TO {host}; GRANT USAGE ON SCHEMA evil TO {host}; UPDATE observer_backfills SET finished_at = NULL, last_key = NULL"
        ))
        .await;
    let url = CLUSTER.url_as(&host, &attacker.database.name);
    let store = aftercommit_store::PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    let error = store.backfill_page("evil.t", 10, at(1)).await.unwrap_err().to_string();
    assert!(error.contains("row-level security"), "{error}");
    store.close().await;
    attacker.assert_nothing_gained().await;
}

async fn backfill(database: &Database, table: &str) -> aftercommit_store::Result<u64> {
    let request =
        BackfillRequest { table: table.into(), condition: None, kind: EventKind::Created, restart: false };
    database.store.start_backfill(request, at(0)).await?;
    Ok(database.store.backfill_page(table, 100, at(0)).await?.events)
}

#[tokio::test]
async fn a_view_in_the_place_of_a_table_is_not_read() {
    let mut attacker = Attacker::new().await;
    attacker.run("CREATE TABLE evil.t (id INTEGER PRIMARY KEY)").await;
    attacker.capture("evil.t").await;
    attacker.run("INSERT INTO evil.t VALUES (1); ALTER TABLE evil.t RENAME TO u").await;
    attacker.run(&trap("evil.rows", "", "int4", "1")).await;
    attacker.run("CREATE VIEW evil.t AS SELECT evil.rows() AS id").await;
    let error = backfill(&attacker.database, "evil.t").await.unwrap_err().to_string();
    assert!(error.contains("is gone"), "{error}");
    // The same while a backfill goes on.
    attacker.run("DROP VIEW evil.t; ALTER TABLE evil.u RENAME TO t").await;
    assert_eq!(backfill(&attacker.database, "evil.t").await.unwrap(), 1);
    attacker.database.sql("UPDATE observer_backfills SET finished_at = NULL, last_key = NULL").await;
    attacker.run("ALTER TABLE evil.t RENAME TO u; CREATE VIEW evil.t AS SELECT evil.rows() AS id").await;
    let error = attacker.database.store.backfill_page("evil.t", 10, at(1)).await.unwrap_err().to_string();
    assert!(error.contains("is gone"), "{error}");
    attacker.assert_nothing_gained().await;
}

/// Own types and tables of the same names in a backfill.
#[tokio::test]
async fn a_backfill_runs_nothing_of_a_table() {
    let mut attacker = Attacker::new().await;
    attacker.run("CREATE TYPE evil.mood AS ENUM ('sad', 'glad'); CREATE DOMAIN evil.d AS TEXT").await;
    attacker.run(&trap("evil.fits", "anyelement", "bool", "true")).await;
    attacker.run("CREATE TABLE evil.t (id INTEGER, m evil.mood, d evil.d, PRIMARY KEY (m, d)); INSERT INTO evil.t SELECT n, 'sad', n FROM generate_series(1, 9) AS n").await;
    attacker.run("CREATE TABLE evil.log (x INTEGER); ALTER DOMAIN evil.d ADD CHECK (evil.fits(VALUE))").await;
    // With implicit casts there is no one operator that compares two of them.
    attacker.run(&casts("evil.mood").replace("IMPLICIT", "ASSIGNMENT")).await;
    attacker.run(&shadows("evil")).await;
    attacker.capture("evil.t").await;
    backfill(&attacker.database, "evil.t").await.unwrap();
    attacker.database.sql("UPDATE observer_backfills SET finished_at = NULL, last_key = NULL").await;
    while attacker.database.store.backfill_page("evil.t", 2, at(1)).await.unwrap().finished_at.is_none() {}
    attacker.assert_nothing_gained().await;
    assert_eq!(attacker.database.kinds().await.len(), 18);
}
