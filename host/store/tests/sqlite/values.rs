//! How SQLite's values become JSON. None of it may ever fail the application's statement.

use aftercommit_store::{Quarantine as _, conformance::TestDatabase as _};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::database::{Database, take};

#[tokio::test]
async fn values_keep_what_they_are() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, any, flag BOOLEAN, doc JSON, n INT,
                twice AS (n * 2), kept TEXT AS (typeof(any) || '!') STORED)",
        )
        .await;
    database.capture("t", "T").await;
    for (any, flag, doc, n) in [
        ("x'00ff'", "1", r#"'{"a": 1.50, "b": [12345678901234567890]}'"#, "1"),
        ("9e999", "0", "'no json'", "'text'"),
        ("-9e999", "7", "'null'", "NULL"),
        ("'1'", "'maybe'", "'\"text\"'", "9223372036854775807"),
        ("1.0", "NULL", "5", "0"),
        ("NULL", "TRUE", "NULL", "-1"),
        ("x''", "FALSE", "x'ff'", "2"),
        ("char(1, 8, 9, 10, 13, 31, 34, 92, 127, 8232, 128512)", "0.5", "' [1] '", "3"),
    ] {
        database.sql(&format!("INSERT INTO t (any, flag, doc, n) VALUES ({any}, {flag}, {doc}, {n})")).await;
    }
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let images = database.images().await;
    let column = |name: &str| images.iter().map(|image| image[name].clone()).collect::<Vec<_>>();
    let odd = "\u{1}\u{8}\t\n\r\u{1f}\"\\\u{7f}\u{2028}😀";
    let any = [
        json!("00FF"),
        Value::Null,
        Value::Null,
        json!("1"),
        read("1.0"),
        Value::Null,
        json!(""),
        json!(odd),
    ];
    assert_eq!(column("any"), any);
    let flag = [
        json!(true),
        json!(false),
        json!(7),
        json!("maybe"),
        Value::Null,
        json!(true),
        json!(false),
        read("0.5"),
    ];
    assert_eq!(column("flag"), flag);
    let doc = [
        read(r#"{"a": 1.50, "b": [12345678901234567890]}"#),
        json!("no json"),
        Value::Null,
        json!("text"),
        json!(5),
        Value::Null,
        json!("FF"),
        json!([1]),
    ];
    assert_eq!(column("doc"), doc);
    assert_eq!(column("n")[1..4], [json!("text"), Value::Null, json!(i64::MAX)]);
    assert_eq!(column("twice")[0], json!(2), "generated columns are captured");
    assert_eq!(column("kept")[3], json!("text!"));
}

#[tokio::test]
async fn every_real_reads_back_the_same() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL)").await;
    database.capture("t", "T").await;
    let mut runner = TestRunner::deterministic();
    let mut reals: Vec<f64> =
        vec![0.1, 1.0 / 3.0, 1e22, 1e23, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0, 123_456_789.125];
    for _ in 0..2000 {
        reals.push(prop::num::f64::NORMAL.new_tree(&mut runner).unwrap().current());
        reals.push((0.0..1000.0_f64).new_tree(&mut runner).unwrap().current());
        reals.push((-1e60..1e60_f64).new_tree(&mut runner).unwrap().current());
    }
    let application = Connection::open(database.path()).unwrap();
    for real in &reals {
        application.execute("INSERT INTO t (r) VALUES (?1)", [real]).unwrap();
    }
    let images = database.images().await;
    for (image, real) in images.iter().zip(&reals) {
        let read: f64 = image["r"].to_string().parse().unwrap();
        // Beyond, SQLite's own conversions can be off in the 17th digit.
        let exact = (1e-70..1e70).contains(&real.abs());
        let tolerance = if exact { 0.0 } else { real.abs() * 1e-15 };
        assert!((read - real).abs() <= tolerance, "{real:e} became {}", image["r"]);
    }
    assert_eq!(images[0]["r"].to_string(), "0.1", "the shortest digits");
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_put_aside_and_the_commit_goes_on() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, any TEXT)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t (any) VALUES (CAST(x'c328' AS TEXT)), ('sound')").await;
    let taken = take(&database).await;
    assert_eq!((taken.events, taken.quarantined.len()), (1, 1));
    assert!(taken.quarantined[0].1.contains("utf-8"), "{:?}", taken.quarantined);
    assert_eq!(database.store.quarantined(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_row_that_is_too_large_is_put_aside_and_the_commit_goes_on() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, zeroblob(16777217), 'kept'), (2, 'sound', 'kept')").await;
    database
        .sql("INSERT INTO t VALUES (3, printf('%.*c', 9000000, 'x'), printf('%.*c', 9000000, 'y'))")
        .await;
    database.sql("UPDATE t SET a = 'short' WHERE id = 1").await;
    let taken = take(&database).await;
    assert_eq!((taken.events, taken.quarantined.len()), (1, 3));
    for (_, reason) in &taken.quarantined {
        assert!(reason.contains("too large"), "{reason}");
    }
    let rows = database.store.quarantined(10).await.unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.entity_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["1", "3", "1"], "what is known of them");
}

/// Images of few columns, of many, and updates of more than a view can take twice.
#[tokio::test]
async fn tables_of_any_width_are_captured() {
    for count in [1, 2, 8, 9, 28, 32, 33, 998, 999] {
        let database = Database::fresh().await;
        let columns: Vec<_> = (1..count).map(|n| format!(", \"c {n}\" TEXT")).collect();
        database.sql(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY{})", columns.concat())).await;
        database.capture("t", "T").await;
        database
            .sql("PRAGMA reverse_unordered_selects = ON; INSERT INTO t (id) VALUES (1); UPDATE t SET id = id")
            .await;
        let last = format!("c {}", count - 1);
        if count > 1 {
            database.sql(&format!("UPDATE t SET \"{last}\" = 'it''s, \"last\"'")).await;
            database.sql(&format!("UPDATE t SET \"{last}\" = printf('%.*c', 16777217, 'x')")).await;
        }
        database.sql("UPDATE t SET id = 2").await;
        let taken = take(&database).await;
        let (events, aside) = if count > 1 { (2, 3) } else { (3, 0) };
        assert_eq!((taken.events, taken.quarantined.len()), (events, aside), "{count} columns");
        let images = database.images().await;
        assert!(images.iter().all(|image| image.as_object().unwrap().len() == count), "{count} columns");
        if count > 1 {
            assert_eq!(images[1][&last], json!("it's, \"last\""), "{count} columns");
        }
    }
}

#[tokio::test]
async fn wide_tables_work() {
    let database = Database::fresh().await;
    let columns: Vec<_> = (0..300).map(|n| format!("c{n}")).collect();
    database.sql(&format!("CREATE TABLE wide (id INTEGER PRIMARY KEY, {})", columns.join(", "))).await;
    database.capture("wide", "Wide").await;
    database
        .sql("INSERT INTO wide (id, c0, c299) VALUES (1, 'first', 'last'); UPDATE wide SET c150 = 1.5")
        .await;
    let events = database.events().await;
    let row = events[1].data.as_object().unwrap();
    assert_eq!(
        (row.len(), &row["c299"], &events[1].changed[..]),
        (301, &json!("last"), &["c150".to_owned()][..])
    );
}

#[tokio::test]
async fn a_value_that_was_made_as_json_stays_what_its_column_holds() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, any)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t SELECT 1, json('{\"a\":1}'), json('[1]')").await;
    database.sql("UPDATE t SET a = json('[2]')").await;
    let images = database.images().await;
    assert_eq!(
        images,
        [json!({"id": 1, "a": "{\"a\":1}", "any": "[1]"}), json!({"id": 1, "a": "[2]", "any": "[1]"})]
    );
}

#[tokio::test]
async fn a_column_may_hold_what_its_type_does_not_say() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, a TEXT)").await;
    database.capture("t", "T").await;
    for (n, a) in [
        ("1.5", "x'00ff'"),
        ("9e999", "1.5"),
        ("'text'", "'a' || char(0) || 'b'"),
        ("x'0a'", "NULL"),
        ("'é' || char(0)", "char(0)"),
        ("x'00'", "x''"),
        ("''", "','"),
    ] {
        database.sql(&format!("INSERT INTO t (n, a) VALUES ({n}, {a})")).await;
    }
    let images = database.images().await;
    let column = |name: &str| images.iter().map(|image| image[name].clone()).collect::<Vec<_>>();
    let n = [json!(1.5), Value::Null, json!("text"), json!("0A"), json!("é\0"), json!("00"), json!("")];
    assert_eq!(column("n"), n);
    let a = [json!("00FF"), json!("1.5"), json!("a\0b"), Value::Null, json!("\0"), json!(""), json!(",")];
    assert_eq!(column("a"), a);
}

#[tokio::test]
async fn deep_json_stays_a_text_and_the_commit_goes_on() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, doc JSON)").await;
    database.capture("t", "T").await;
    for depth in [100, 500, 5000] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        database.sql(&format!("INSERT INTO t (doc) VALUES ('{text}')")).await;
    }
    let taken = take(&database).await;
    assert_eq!((taken.events, taken.quarantined.len()), (3, 0));
    let kinds: Vec<_> = database.images().await.iter().map(|image| image["doc"].is_array()).collect();
    assert_eq!(kinds, [true, false, false], "too deep for a reader, it stays a text");
    assert_eq!(database.ask("SELECT count(*) FROM t").await.as_deref(), Some("3"));
}

#[tokio::test]
async fn the_widest_tables_are_captured_or_refused() {
    use aftercommit_store::{CaptureRequest, Captures as _, Selection};
    let database = Database::fresh().await;
    let columns = |count: usize| (1..count).map(|n| format!("c{n} JSON")).collect::<Vec<_>>().join(", ");
    database.sql(&format!("CREATE TABLE wide (id INTEGER PRIMARY KEY, {})", columns(1990))).await;
    database.sql(&format!("CREATE TABLE wider (id INTEGER PRIMARY KEY, {})", columns(2000))).await;
    database.capture("wide", "Wide").await;
    database
        .sql("INSERT INTO wide (id, c1, c1989) VALUES (1, '{\"a\":{}}', '[{}]'); UPDATE wide SET c50 = '{}'")
        .await;
    let images = database.images().await;
    assert_eq!(
        (images[0].as_object().unwrap().len(), &images[0]["c1"], &images[0]["c1989"]),
        (1990, &json!({"a": {}}), &json!([{}]))
    );
    assert_eq!(images[1]["c50"], json!({}));
    let error = database
        .store
        .add_capture(CaptureRequest::new("wider", "Wider"), crate::database::at(0))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("--only"), "{error}");
    let narrow = CaptureRequest {
        selection: Selection::Only(vec!["id".into(), "c1999".into()]),
        ..CaptureRequest::new("wider", "Wider")
    };
    database.store.add_capture(narrow, crate::database::at(0)).await.unwrap();
}

#[tokio::test]
async fn strict_tables_and_hidden_types_work() {
    let database = Database::fresh().await;
    database
        .sql("CREATE TABLE t (id INT PRIMARY KEY, n INTEGER, r REAL, a TEXT, b BLOB, any ANY, sum REAL AS (n + r)) STRICT, WITHOUT ROWID")
        .await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1, 2, 0.5, 'x', x'01', x'02')").await;
    assert_eq!(
        database.images().await,
        [json!({"id": 1, "n": 2, "r": 0.5, "a": "x", "b": "01", "any": "02", "sum": 2.5})]
    );
}
