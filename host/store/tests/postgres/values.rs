//! How PostgreSQL's values become JSON.

use aftercommit_store::conformance::TestDatabase as _;

use crate::database::Database;

#[tokio::test]
async fn values_keep_what_they_are() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a INTEGER, b TEXT);
             CREATE DOMAIN amount AS NUMERIC(30, 2);
             CREATE TABLE t (id UUID PRIMARY KEY, exact NUMERIC, amount amount, big BIGINT, real REAL, yes BOOLEAN,
                 doc JSON, bin JSONB, list INTEGER[], mood mood, pair pair, day DATE, at TIMESTAMP, zoned TIMESTAMPTZ,
                 span INTERVAL, bytes BYTEA, net INET, twice NUMERIC GENERATED ALWAYS AS (exact * 2) STORED)",
        )
        .await;
    database.capture("t", "T").await;
    database
        .sql(
            r#"INSERT INTO t VALUES ('00000000-0000-0000-0000-00000000000a', 123456789012345678901234567890.10,
                 1234567890123456789012345678.90, 9223372036854775807, 0.1, true, '{"b": 1.50,  "a": [1, 1e400]}',
                 '{"b": 1.50, "a": 10000000000000000000000000001}', '{1,2}', 'happy', '(1,"x y")', '2026-01-31',
                 '2026-01-31 12:00:00.000001', '2026-01-31 12:00:00+02', '1 day 02:00', '\x00FF', '10.0.0.1')"#,
        )
        .await;
    let text = database.ask("SELECT data FROM observer_inbox").await.unwrap();
    let expected = concat!(
        r#"{"id" : "00000000-0000-0000-0000-00000000000a", "exact" : 123456789012345678901234567890.10, "#,
        r#""amount" : 1234567890123456789012345678.90, "big" : 9223372036854775807, "real" : 0.1, "yes" : true, "#,
        r#""doc" : {"b": 1.50,  "a": [1, 1e400]}, "bin" : {"a": 10000000000000000000000000001, "b": 1.50}, "#,
        r#""list" : [1,2], "mood" : "happy", "pair" : {"a" : 1, "b" : "x y"}, "day" : "2026-01-31", "#,
        r#""at" : "2026-01-31T12:00:00.000001", "zoned" : "2026-01-31T10:00:00+00:00", "#,
        r#""span" : "1 day 02:00:00", "bytes" : "\\x00ff", "net" : "10.0.0.1", "#,
        r#""twice" : 246913578024691357802469135780.20}"#,
    );
    assert_eq!(text, expected);
    let read = database.images().await.remove(0);
    assert_eq!(read["exact"].to_string(), "123456789012345678901234567890.10", "every digit, to the end");
    assert_eq!(read["doc"]["a"][1].to_string(), "1e+400");
}

#[tokio::test]
async fn what_is_the_same_number_is_no_change() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC, doc JSONB, name TEXT)").await;
    database.capture("t", "T").await;
    database.sql(r#"INSERT INTO t VALUES (1, 100, '{"a": 1}', 'a')"#).await;
    database.sql(r#"UPDATE t SET n = 100.00, doc = '{"a": 1.0}'"#).await;
    assert_eq!(database.kinds().await, ["created 1"]);
    database.sql("UPDATE t SET n = 100.01; UPDATE t SET name = 'A'; UPDATE t SET name = NULL").await;
    let changed: Vec<_> = database.events().await.into_iter().map(|event| event.changed.join(",")).collect();
    assert_eq!(changed, ["", "n", "name", "name"]);
}

#[tokio::test]
async fn types_without_equality_and_odd_json_are_captured() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC, doc JSON, spot POINT, page XML)").await;
    database.capture("t", "T").await;
    database.sql(r#"INSERT INTO t VALUES (1, 1, '{"a": "\u0000"}', '(1,2)', '<a/>')"#).await;
    database.sql("UPDATE t SET spot = '(1,2)'; UPDATE t SET spot = '(1,3)'").await;
    assert_eq!(database.kinds().await, ["created 1", "updated 1"]);
    assert_eq!(database.events().await[1].changed, ["spot"]);
    // What no reader of JSON takes is put aside; the commit succeeds all the same.
    database.sql(r#"INSERT INTO t VALUES (2, 1, '{"a": "\ud800 \\ud800 \u00e9"}', NULL, NULL)"#).await;
    assert_eq!(database.kinds().await.len(), 2);
    let id = "SELECT entity_id FROM observer_inbox ORDER BY place DESC LIMIT 1";
    assert_eq!(database.ask(id).await.as_deref(), Some("2"));
}

/// Names that a trigger might take for its own.
#[tokio::test]
async fn columns_may_have_any_name() {
    let database = Database::fresh().await;
    let columns = [
        "t", "o", "n", "r", "k", "e", "at", "kind", "key", "image", "place", "numbers", "before", "rows",
        "new_rows", "old_rows",
    ];
    let list: Vec<_> = columns.iter().map(|column| format!("{column} TEXT")).collect();
    database.sql(&format!("CREATE TABLE odd (id INTEGER PRIMARY KEY, {})", list.join(", "))).await;
    database.capture("odd", "Odd").await;
    database
        .sql("INSERT INTO odd (id, t) VALUES (1, 'x'); UPDATE odd SET image = 'y', o = 'z'; DELETE FROM odd")
        .await;
    assert_eq!(database.kinds().await, ["created 1", "updated 1", "deleted 1"]);
    assert_eq!(database.events().await[1].changed, ["image", "o"]);
    assert_eq!(database.images().await[2]["t"], "x");
}

#[tokio::test]
async fn event_ids_are_uuids_in_the_order_of_time() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    for id in 1..=5 {
        database.sql(&format!("INSERT INTO t VALUES ({id})")).await;
    }
    for event in database.events().await {
        assert_eq!((event.id.get_version_num(), event.id.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, nanos) = event.id.get_timestamp().unwrap().to_unix();
        let millis = i64::try_from(seconds * 1000 + u64::from(nanos) / 1_000_000).unwrap();
        assert_eq!(millis, event.occurred_at.as_millis(), "{}", event.id);
    }
}
