//! What a change is told of: the actor, the tenant, the trace; and the tables of several tenants.

use aftercommit_store::{
    CaptureRequest, Captures as _, Selection, StoreError, conformance::TestDatabase as _,
};
use serde_json::json;

use crate::database::{Database, at};

async fn add(database: &Database, request: CaptureRequest) -> Result<(), StoreError> {
    database.store.add_capture(request, at(0)).await.map(|_| ())
}

#[tokio::test]
async fn settings_are_of_their_transaction() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    let set = "SELECT set_config('aftercommit.actor', 'anna', true), set_config('aftercommit.tenant_id', 'acme', true),
                      set_config('aftercommit.traceparent', '00-a-b-01', true)";
    database
        .sql(&format!(
            "BEGIN; {set}; INSERT INTO t VALUES (1); UPDATE t SET id = 2; COMMIT; INSERT INTO t VALUES (3)"
        ))
        .await;
    database.sql(&format!("BEGIN; INSERT INTO t VALUES (4); SAVEPOINT s; {set}; INSERT INTO t VALUES (5); ROLLBACK TO s; INSERT INTO t VALUES (6); COMMIT")).await;
    for settled in [false, true] {
        if settled {
            database.settle().await;
        }
        let said: Vec<_> = database
            .events()
            .await
            .iter()
            .map(|event| {
                (
                    event.entity_id.clone(),
                    event.actor.clone(),
                    event.tenant_id.clone(),
                    event.traceparent.clone(),
                )
            })
            .collect();
        let with = |id: &str| {
            (id.to_owned(), Some("anna".to_owned()), Some("acme".to_owned()), Some("00-a-b-01".to_owned()))
        };
        let without = |id: &str| (id.to_owned(), None, None, None);
        assert_eq!(said, [with("1"), with("1"), with("2"), without("3"), without("4"), without("6")]);
    }
}

#[tokio::test]
async fn a_schema_for_each_tenant() {
    let database = Database::fresh().await;
    for schema in ["acme", "\"Big:Co\"", "public"] {
        database
            .sql(&format!(
                "CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {schema}.orders (id INTEGER PRIMARY KEY)"
            ))
            .await;
    }
    add(&database, CaptureRequest::new("acme.orders", "Order")).await.unwrap();
    database.sql("INSERT INTO acme.orders VALUES (1)").await;
    add(&database, CaptureRequest::new("Big:Co.orders", "Order")).await.unwrap();
    add(&database, CaptureRequest::new("orders", "Order")).await.unwrap();
    database.sql("CREATE TABLE acme.other (id INTEGER PRIMARY KEY)").await;
    let error = add(&database, CaptureRequest::new("acme.other", "Order")).await.unwrap_err().to_string();
    assert!(error.contains("is taken by the table"), "{error}");
    database.sql("INSERT INTO acme.orders VALUES (2); INSERT INTO \"Big:Co\".orders VALUES (2); INSERT INTO orders VALUES (2)").await;
    database.sql("SET aftercommit.tenant_id = 'said'; INSERT INTO acme.orders VALUES (3); RESET aftercommit.tenant_id").await;
    let tenants: Vec<_> =
        database.events().await.iter().map(|event| event.tenant_id.clone().unwrap_or_default()).collect();
    assert_eq!(tenants, ["", "acme", "Big:Co", "public", "said"]);
    for status in database.store.captures().await.unwrap() {
        assert_eq!(status.drift, None, "{}", status.capture.table);
        database.store.refresh_capture(&status.capture.table, at(0)).await.unwrap();
    }
    database.store.remove_capture("acme.orders").await.unwrap();
    database.sql("INSERT INTO acme.orders VALUES (4); INSERT INTO orders VALUES (4)").await;
    assert_eq!(database.kinds().await.len(), 6);
}

#[tokio::test]
async fn columns_conditions_and_names_can_change() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, name TEXT, secret TEXT)").await;
    let first = CaptureRequest {
        selection: Selection::Only(vec!["n".into()]),
        condition: Some("secret = 'go' OR CHANGED(n)".into()),
        ..CaptureRequest::new("t", "First")
    };
    add(&database, first.clone()).await.unwrap();
    database.sql("INSERT INTO t VALUES (1, 1, 'a', 'stay'), (2, 2, 'b', 'go')").await;
    // A condition on columns that are not captured; a change of none of those that are is no event.
    database
        .sql("UPDATE t SET name = 'c'; UPDATE t SET n = 3 WHERE id = 1; UPDATE t SET id = 9 WHERE id = 2")
        .await;
    assert_eq!(database.kinds().await, ["created 2", "updated 1", "deleted 2", "created 9"]);
    assert_eq!(database.images().await[1], json!({"id": 1, "n": 3}));
    let renamed = CaptureRequest {
        entity_type: "Second".into(),
        selection: Selection::Exclude(vec!["secret".into()]),
        ..first
    };
    let error = add(&database, renamed.clone()).await.unwrap_err().to_string();
    assert!(error.contains("--rename"), "{error}");
    add(&database, CaptureRequest { rename: true, condition: None, ..renamed }).await.unwrap();
    database.sql("DELETE FROM t WHERE id = 9").await;
    let last = database.events().await.pop().unwrap();
    assert_eq!((last.entity_type.as_str(), last.data), ("Second", json!({"id": 9, "n": 2, "name": "c"})));
    assert_eq!(database.drift().await, "");
    for (condition, why) in [("nowhere = 1", "nowhere"), ("id =", "--when")] {
        let request =
            CaptureRequest { condition: Some(condition.into()), ..CaptureRequest::new("t", "Second") };
        let error = add(&database, request).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let error = add(
        &database,
        CaptureRequest {
            selection: Selection::Exclude(vec!["id".into()]),
            ..CaptureRequest::new("t", "Second")
        },
    )
    .await;
    assert!(error.unwrap_err().to_string().contains("part of the key"));
}

#[tokio::test]
async fn keys_of_several_parts_are_told_apart() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (a TEXT, b CHAR(4), c INTEGER, PRIMARY KEY (a, b, c))").await;
    database.capture("t", "T").await;
    database.sql(r"SET standard_conforming_strings = off; INSERT INTO t VALUES (E'x:y', 'z', 1), ('x', 'y:z', 1), (E'\\', ':', 2), (E'x\\:', '', 3)").await;
    let kinds = database.kinds().await;
    assert_eq!(kinds, [r"created x\:y:z:1", r"created x:y\:z:1", r"created \\:\::2", r"created x\\\:::3"]);
}

/// Such a transaction can be prepared where nothing rings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_transactions() {
    let mut settings = aftercommit_tests::Cluster::CARELESS.to_vec();
    settings.push("max_prepared_transactions=5");
    let cluster = aftercommit_tests::Cluster::start_with(&settings);
    let store = aftercommit_store::PostgresStore::open(
        &cluster.url("postgres"),
        aftercommit_store::PostgresOptions::default(),
    )
    .await
    .unwrap();
    aftercommit_store::Schema::migrate(&store).await.unwrap();
    let mut application =
        <sqlx::PgConnection as sqlx::Connection>::connect(&cluster.url("postgres")).await.unwrap();
    let mut run = async |sql: &str| crate::database::execute(&mut application, sql).await;
    run("CREATE TABLE t (id INTEGER PRIMARY KEY DEFERRABLE, up INTEGER)").await.unwrap();
    let request = CaptureRequest { notify: false, ..CaptureRequest::new("t", "T") };
    store.add_capture(request, at(0)).await.unwrap();
    run("BEGIN; INSERT INTO t VALUES (1, 1), (2, 1); UPDATE t SET id = id + 1; PREPARE TRANSACTION 'p'")
        .await
        .unwrap();
    run("COMMIT PREPARED 'p'").await.unwrap();
    assert_eq!(aftercommit_store::Events::inbox_len(&store).await.unwrap(), 6);
    store.close().await;
}
