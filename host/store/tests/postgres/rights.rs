//! Roles that lack a right: told which statement grants it, and nothing is half done.

use std::collections::BTreeMap;

use aftercommit_store::{
    Capture, CaptureRequest, Captures as _, ChangeLogRequest, HostId, Hosts as _, PostgresOptions,
    PostgresStore, Schema as _, StoreError, conformance::TestDatabase as _,
};

use crate::database::{CLUSTER, Database, at};

async fn store(role: &str, database: &Database) -> PostgresStore {
    let url = CLUSTER.url_as(role, &database.name);
    PostgresStore::open(&url, PostgresOptions::default()).await.unwrap()
}

/// The statements that the error names.
fn grant<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    let error = result.unwrap_err();
    let StoreError::Forbidden { grant: Some(grant), .. } = &error else { panic!("{error:?}") };
    assert!(error.to_string().contains(&format!("have it granted: `{grant}`")), "{error}");
    assert!(error.is_transient(), "it passes when the right is granted");
    grant.clone()
}

async fn capture(store: &PostgresStore, table: &str) -> Result<Capture, StoreError> {
    let request = CaptureRequest::new(table, "T");
    store.add_capture(request, at(0)).await
}

/// Roles are the server's: each test has names of its own.
async fn drop_roles(database: &Database, roles: &[&str]) {
    for role in roles {
        database.sql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
    }
}

#[tokio::test]
async fn who_migrates_is_told_the_right_to_create() {
    let database = Database::empty(PostgresOptions::default()).await;
    database.sql("CREATE ROLE mover LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let mover = store("mover", &database).await;
    let needed = grant(mover.migrate().await);
    assert_eq!(needed, "GRANT USAGE, CREATE ON SCHEMA public TO mover");
    let tables = "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(database.ask(tables).await.as_deref(), Some("0"), "nothing is half done");
    let schema = "Our own".to_owned();
    let options = PostgresOptions { schema, ..PostgresOptions::default() };
    let elsewhere = PostgresStore::open(&CLUSTER.url_as("mover", &database.name), options).await.unwrap();
    let needed_elsewhere = grant(elsewhere.migrate().await);
    assert_eq!(needed_elsewhere, format!("GRANT CREATE ON DATABASE {} TO mover", database.name));
    database.sql(&format!("{needed}; {needed_elsewhere}")).await;
    mover.migrate().await.unwrap();
    elsewhere.migrate().await.unwrap();
    mover.close().await;
    elsewhere.close().await;
    drop_roles(&database, &["mover"]).await;
}

/// It must be, or belong to, the role that owns the tables.
#[tokio::test]
async fn a_host_is_told_whose_tables_they_are() {
    let database = Database::empty(PostgresOptions::default()).await;
    database
        .sql("CREATE ROLE \"Keeper\" LOGIN; CREATE ROLE runner LOGIN; GRANT CREATE ON SCHEMA public TO \"Keeper\"")
        .await;
    let keeper = store("Keeper", &database).await;
    keeper.migrate().await.unwrap();
    keeper.close().await;
    let runner = store("runner", &database).await;
    let needed = grant(runner.check_schema().await);
    assert_eq!(needed, "GRANT \"Keeper\" TO runner");
    assert_eq!(grant(runner.register(HostId::random(), "box", at(0)).await), needed);
    assert_eq!(grant(runner.migrate().await.map(|_| ())), needed);
    assert_eq!(grant(runner.remove_capture("t").await), needed);
    database.sql("GRANT SELECT ON observer_migrations, observer_captures TO runner").await;
    runner.check_schema().await.unwrap();
    assert!(runner.captures().await.unwrap().is_empty());
    assert_eq!(grant(runner.register(HostId::random(), "box", at(0)).await), needed);
    database.sql(&needed).await;
    runner.register(HostId::random(), "box", at(0)).await.unwrap();
    runner.close().await;
    drop_roles(&database, &["runner", "\"Keeper\""]).await;
}

#[tokio::test]
async fn tables_of_a_superuser_are_granted_as_tables() {
    let database = Database::fresh().await;
    database.sql("CREATE ROLE reader LOGIN").await;
    let reader = store("reader", &database).await;
    let needed = grant(reader.check_schema().await);
    assert!(
        needed.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader"),
        "{needed}"
    );
    assert!(!needed.contains("GRANT postgres"), "{needed}");
    database.sql(&needed).await;
    reader.check_schema().await.unwrap();
    reader.register(HostId::random(), "box", at(0)).await.unwrap();
    reader.close().await;
    drop_roles(&database, &["reader"]).await;
}

/// With these and no others it can.
#[tokio::test]
async fn who_captures_is_told_all_rights_at_once() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE ROLE catcher LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE SCHEMA shop;
             CREATE TABLE shop.\"Orders\" (id INTEGER PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE shop.low PARTITION OF shop.\"Orders\" FOR VALUES FROM (0) TO (10);
             CREATE TABLE shop.log (object_type TEXT, object_id TEXT, modification_type TEXT, object_data JSON)",
        )
        .await;
    let catcher = store("catcher", &database).await;
    let needed = grant(capture(&catcher, "shop.Orders").await);
    let expected = [
        "GRANT INSERT ON public.observer_inbox TO catcher",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON public.observer_captures TO catcher",
        "GRANT TRIGGER ON shop.\"Orders\" TO catcher",
        "GRANT TRIGGER ON shop.low TO catcher",
        "GRANT USAGE ON SCHEMA shop TO catcher",
        "GRANT USAGE ON SEQUENCE public.observer_events_seq TO catcher",
        "GRANT USAGE, CREATE ON SCHEMA public TO catcher",
    ];
    assert_eq!(needed.split("; ").collect::<Vec<_>>(), expected);
    assert!(database.store.captures().await.unwrap().is_empty(), "nothing is half done");
    database.sql(&needed).await;
    capture(&catcher, "shop.Orders").await.unwrap();
    let log = ChangeLogRequest { table: "shop.log".into(), columns: BTreeMap::new(), notify: true };
    let needed = grant(catcher.add_change_log(log.clone(), at(0)).await);
    assert_eq!(needed, "GRANT TRIGGER ON shop.log TO catcher");
    database.sql(&needed).await;
    catcher.add_change_log(log, at(0)).await.unwrap();
    assert_eq!(grant(catcher.remove_capture("shop.log").await), "ALTER TABLE shop.log OWNER TO catcher");
    database.sql("CREATE ROLE shopkeeper; ALTER TABLE shop.log OWNER TO shopkeeper").await;
    let needed = grant(catcher.remove_capture("shop.log").await);
    assert_eq!(needed, "GRANT shopkeeper TO catcher");
    assert_eq!(database.store.captures().await.unwrap().len(), 2);
    database.sql(&needed).await;
    catcher.remove_capture("shop.log").await.unwrap();
    database.store.remove_capture("shop.Orders").await.unwrap();
    catcher.close().await;
    drop_roles(&database, &["catcher", "shopkeeper"]).await;
}
