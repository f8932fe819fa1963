//! What PostgreSQL's own kinds of tables and statements make of captures.

use aftercommit_store::{
    CaptureRequest, Captures as _, Events as _, Selection, StoreError, conformance::TestDatabase as _,
};
use serde_json::json;
use sqlx::Connection as _;

use crate::database::{CLUSTER, Database, at, execute};

async fn request(database: &Database, table: &str, key: &[&str]) -> Result<String, StoreError> {
    let request = CaptureRequest {
        key: key.iter().map(|&column| column.into()).collect(),
        ..CaptureRequest::new(table, "Thing")
    };
    database.store.add_capture(request, at(0)).await.map(|capture| capture.table)
}

#[tokio::test]
async fn copy_and_upserts_are_captured() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    database.capture("t", "T").await;
    let mut application = database.connect().await;
    let mut copy = application.copy_in_raw("COPY t FROM STDIN WITH (FORMAT csv)").await.unwrap();
    copy.send(&b"1,1\n2,1\n"[..]).await.unwrap();
    copy.finish().await.unwrap();
    database.sql("INSERT INTO t VALUES (2, 5), (3, 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n").await;
    let mut kinds = database.kinds().await;
    kinds.sort();
    assert_eq!(kinds, ["created 1", "created 2", "created 3", "updated 2"]);
}

#[tokio::test]
async fn keys_that_move_are_paired_with_what_they_were() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY DEFERRABLE, n INTEGER)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t SELECT n, n FROM generate_series(1, 3) AS n; UPDATE t SET id = id + 1").await;
    // The last word on a key that another row has taken is that it is there.
    let moved = ["deleted 1", "deleted 2", "deleted 3", "created 2", "created 3", "created 4"];
    assert_eq!(database.kinds().await[3..], moved);
    assert_eq!(database.images().await[4], json!({"id": 2, "n": 2}));
    assert_eq!(database.images().await[6], json!({"id": 2, "n": 1}));
    let events = database.events().await;
    assert!(events[3..6].iter().all(|lost| events[6..].iter().all(|got| lost.occurred_at < got.occurred_at)));
}

#[tokio::test]
async fn times_tell_which_of_two_changes_is_newer() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    database.capture("t", "T").await;
    let changes = "UPDATE t SET n = n + 1;".repeat(300);
    let again = "DELETE FROM t; INSERT INTO t VALUES (1, 0);".repeat(10);
    let moved = "UPDATE t SET id = 2; UPDATE t SET id = 1;";
    database.sql(&format!("BEGIN; INSERT INTO t VALUES (1, 0); {changes} {again} {moved} COMMIT")).await;
    let times: Vec<_> = database.events().await.iter().map(|event| event.occurred_at).collect();
    assert_eq!(times.len(), 325);
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
}

#[tokio::test]
async fn what_one_statement_deletes_and_makes_again_is_there_in_the_end() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, 1)").await;
    database
        .sql("WITH gone AS (DELETE FROM t RETURNING id, n) INSERT INTO t SELECT id, n + 1 FROM gone")
        .await;
    let events = database.events().await.split_off(1);
    let kinds: Vec<_> = events.iter().map(|event| event.event_kind.as_str()).collect();
    assert_eq!(kinds, ["deleted", "created"]);
    assert!(events[0].occurred_at < events[1].occurred_at);
}

#[tokio::test]
async fn rows_with_the_same_key_are_paired_with_themselves() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (k TEXT, n INTEGER)").await;
    request(&database, "t", &["k"]).await.unwrap();
    database.sql("INSERT INTO t VALUES ('a', 1), ('a', 2); UPDATE t SET n = n * 10").await;
    let pairs: Vec<_> = database.events().await[2..]
        .iter()
        .map(|event| (event.old.as_ref().unwrap()["n"].to_string(), event.data["n"].to_string()))
        .collect();
    assert_eq!(pairs, [("1".into(), "10".into()), ("2".into(), "20".into())]);
}

#[tokio::test]
async fn partitioned_tables_are_captured_through_every_name() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER) PARTITION BY RANGE (id);
             CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100);
             CREATE TABLE high (n INTEGER, id INTEGER NOT NULL PRIMARY KEY);
             ALTER TABLE t ATTACH PARTITION high FOR VALUES FROM (100) TO (200)",
        )
        .await;
    database.capture("t", "T").await;
    database
        .sql("INSERT INTO t VALUES (1, 1), (101, 1); UPDATE t SET n = 2; INSERT INTO low VALUES (2, 1)")
        .await;
    let kinds = ["created 1", "created 101", "updated 1", "updated 101", "created 2"];
    assert_eq!(database.kinds().await, kinds);
    assert_eq!(database.images().await[3], json!({"id": 101, "n": 2}), "in the table's own order of columns");
    // From one partition to another, among rows that stay.
    database.sql("UPDATE t SET id = CASE id WHEN 1 THEN 150 ELSE id END, n = 3").await;
    let mut moved = database.kinds().await.split_off(5);
    moved.sort();
    assert_eq!(moved, ["created 150", "deleted 1", "updated 101", "updated 2"]);
    let pairs = database.events().await.split_off(5);
    let own =
        pairs.iter().filter(|event| event.old.as_ref().is_some_and(|old| old["id"] != event.data["id"]));
    assert_eq!(own.count(), 0, "each is paired with itself");
    assert_eq!(database.drift().await, "");
    database.sql("CREATE TABLE top PARTITION OF t FOR VALUES FROM (200) TO (300)").await;
    assert_eq!(database.drift().await, "", "it has the table's triggers");
    database.sql("INSERT INTO top VALUES (201, 1)").await;
    assert_eq!(database.kinds().await.len(), 10);
    database.sql("ALTER TABLE t DETACH PARTITION low").await;
    database.store.remove_capture("t").await.unwrap();
    assert_no_trigger(&database).await;
}

async fn assert_no_trigger(database: &Database) {
    let left =
        "SELECT tgrelid::regclass::text || ' ' || tgname FROM pg_trigger WHERE tgname LIKE '%aftercommit%'";
    assert_eq!(database.ask(left).await, None);
}

#[tokio::test]
async fn tables_in_other_schemas_are_found_by_name() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE SCHEMA shop; CREATE SCHEMA \"Old\"; CREATE TABLE shop.orders (id INTEGER PRIMARY KEY);
             CREATE TABLE shop.parts (id INTEGER PRIMARY KEY); CREATE TABLE \"Old\".parts (id INTEGER PRIMARY KEY)",
        )
        .await;
    assert_eq!(request(&database, "Orders", &["ID"]).await.unwrap(), "shop.orders", "as SQL reads names");
    let error = request(&database, "parts", &[]).await.unwrap_err().to_string();
    assert!(error.contains("Old.parts") && error.contains("shop.parts"), "{error}");
    database.store.remove_capture("shop.orders").await.unwrap();
    assert_eq!(request(&database, "Old.parts", &[]).await.unwrap(), "Old.parts");
    database.sql("INSERT INTO \"Old\".parts VALUES (1)").await;
    assert_eq!(database.kinds().await, ["created 1"]);
    assert_eq!(database.drift().await, "");
}

#[tokio::test]
async fn the_application_needs_no_rights_and_its_settings_do_not_matter() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE ROLE clerk LOGIN; CREATE TABLE t (id INTEGER PRIMARY KEY, at TIMESTAMPTZ, r FLOAT8, b BYTEA);
             GRANT SELECT, INSERT, UPDATE, DELETE ON t TO clerk",
        )
        .await;
    database.capture("t", "T").await;
    let mut clerk = sqlx::PgConnection::connect(&CLUSTER.url_as("clerk", &database.name)).await.unwrap();
    execute(
        &mut clerk,
        "CREATE TEMP TABLE observer_events (x INTEGER); SET search_path = pg_temp; SET timezone = 'Asia/Tokyo';
         SET extra_float_digits = -15; SET bytea_output = 'escape';
         INSERT INTO public.t VALUES (1, '2026-01-01 09:00:00+09', 0.1::float8 + 0.2, '\\x00ff')",
    )
    .await
    .unwrap();
    let image =
        json!({"id": 1, "at": "2026-01-01T00:00:00+00:00", "r": 0.300_000_000_000_000_04, "b": "\\x00ff"});
    assert_eq!(database.images().await[0].to_string(), image.to_string());
    let error = execute(&mut clerk, "SELECT * FROM public.observer_events").await.unwrap_err();
    assert!(error.contains("permission denied"), "{error}");
    let forged =
        "SELECT format('CREATE TEMP TABLE mine (id INTEGER); CREATE TRIGGER x AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.%I()', p.proname)
         FROM pg_proc AS p WHERE proname LIKE 'observer_capture_t_%_insert'";
    let forged = database.ask(forged).await.unwrap();
    let error = execute(&mut clerk, &forged).await.unwrap_err();
    assert!(error.contains("permission denied for function"), "{error}");
    execute(&mut clerk, "RESET ROLE").await.unwrap();
    clerk.close().await.unwrap();
    database.sql("DROP OWNED BY clerk; DROP ROLE clerk").await;
}

#[tokio::test]
async fn what_can_not_be_captured_is_refused() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TEMP TABLE passing (id INTEGER PRIMARY KEY);
             CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE MATERIALIZED VIEW seen AS SELECT * FROM t;
             CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
             CREATE FOREIGN TABLE far (id INTEGER) SERVER s",
        )
        .await;
    for (table, hint) in [
        ("passing", "temporary"),
        ("seen", "materialized view"),
        ("far", "foreign table"),
        ("pg_catalog.pg_class", "PostgreSQL itself"),
        ("observer_events_default", "aftercommit"),
        ("nowhere", "there are t"),
    ] {
        let error = request(&database, table, &["id"]).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.contains(hint)), "{table}: {error}");
    }
}

#[tokio::test]
async fn drift_of_tables_columns_and_triggers_is_reported() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    database.capture("t", "T").await;
    for (change, finding) in [
        ("DROP TRIGGER \"!aftercommit_insert\" ON t", "the trigger !aftercommit_insert on t is missing"),
        (
            "CREATE TRIGGER \"!aftercommit_insert\" AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION FUNCTION_OF_T()",
            "the trigger !aftercommit_insert on t was changed",
        ),
        ("ALTER TABLE t DISABLE TRIGGER ALL", "the trigger !aftercommit_update on t is disabled"),
        ("ALTER TABLE t DROP COLUMN n", "columns that are gone: n"),
    ] {
        let function = "SELECT proname::text FROM pg_proc WHERE proname LIKE 'observer_capture_t_%_insert'";
        database.sql(&change.replace("FUNCTION_OF_T", &database.ask(function).await.unwrap())).await;
        let drift = database.drift().await;
        assert!(drift.contains(finding) && drift.contains("`aftercommit capture refresh t`"), "{drift}");
    }
    database.store.refresh_capture("t", at(0)).await.unwrap();
    assert_eq!(database.drift().await, "");
    let request = CaptureRequest {
        selection: Selection::Exclude(vec!["secret".into()]),
        condition: Some("id > 0 OR secret = 'x'".into()),
        notify: false,
        ..CaptureRequest::new("t", "T")
    };
    database.sql("ALTER TABLE t ADD secret TEXT").await;
    database.store.add_capture(request, at(0)).await.unwrap();
    database.sql("ALTER TABLE t RENAME TO u").await;
    // With all options: a column that is left out must stay out.
    let renamed = r"the table is now named `u`; run `aftercommit capture remove t`, then `aftercommit capture add u --entity T --key id --exclude secret --when 'id > 0 OR secret = '\''x'\''' --no-notify`";
    assert_eq!(database.drift().await, renamed);
    let refused = database.store.refresh_capture("t", at(0)).await.unwrap_err().to_string();
    assert!(refused.contains(renamed), "{refused}");
    database.sql("INSERT INTO u VALUES (1)").await;
    assert_eq!(database.kinds().await, ["created 1"], "it goes on under the new name");
    database.store.remove_capture("t").await.unwrap();
    assert_no_trigger(&database).await;
}

/// The application goes on, and what can not be an event is seen by people.
#[tokio::test]
async fn a_renamed_key_does_not_fail_the_application() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, 1); ALTER TABLE t RENAME COLUMN id TO number").await;
    database.sql("INSERT INTO t VALUES (2, 1); UPDATE t SET n = 2; DELETE FROM t").await;
    assert_eq!(database.kinds().await, ["created 1"]);
    assert_eq!(database.store.inbox_len().await.unwrap(), 6);
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (3, 1)").await;
    assert_eq!(database.kinds().await, ["created 1", "created 3"]);
}

#[tokio::test]
async fn a_commit_rings_unless_it_was_asked_not_to() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    let request = CaptureRequest { notify: false, ..CaptureRequest::new("t", "T") };
    database.store.add_capture(request, at(0)).await.unwrap();
    let mut listener = sqlx::postgres::PgListener::connect(&database.url()).await.unwrap();
    listener.listen("observer_inbox").await.unwrap();
    database.falls_asleep().await;
    database.sql("INSERT INTO t VALUES (1)").await;
    database.capture("t", "T").await;
    database.sql("UPDATE t SET id = 1; INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)").await;
    let heard = listener.recv().await.unwrap();
    assert_eq!((heard.channel(), heard.payload()), ("observer_inbox", ""));
    let mut rings = 1;
    database.sql("NOTIFY observer_inbox, 'the end'").await;
    while listener.recv().await.unwrap().payload().is_empty() {
        rings += 1;
    }
    assert_eq!(rings, 1, "once a transaction, not for the one without, nor for one that changed nothing");
}
