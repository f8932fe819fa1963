//! Backfills on PostgreSQL: keys of every kind, ties, changes meanwhile, a host that is killed.

use aftercommit_core::EventKind;
use aftercommit_store::{
    Backfill, BackfillRequest, Backfills as _, CaptureRequest, Captures as _, Selection,
    conformance::TestDatabase as _,
};

use crate::database::{Database, at, execute};

async fn start(database: &Database, condition: Option<&str>) -> aftercommit_store::Result<Backfill> {
    let request = BackfillRequest {
        table: "t".into(),
        condition: condition.map(Into::into),
        kind: EventKind::Created,
        restart: false,
    };
    database.store.start_backfill(request, at(0)).await
}

/// All pages of so many rows, each by another store, as if the host were killed in between.
async fn run(database: &Database, rows: usize) -> Backfill {
    for _ in 0..100 {
        let store = database.another().await;
        let page = store.backfill_page("t", rows, at(1)).await.unwrap();
        store.close().await;
        if page.finished_at.is_some() {
            return page;
        }
    }
    panic!("it does not come to an end");
}

async fn capture(database: &Database, key: &[&str]) {
    let key = key.iter().map(|&column| column.into()).collect();
    database.store.add_capture(CaptureRequest { key, ..CaptureRequest::new("t", "T") }, at(0)).await.unwrap();
}

#[tokio::test]
async fn keys_of_every_kind() {
    for (kind, values) in [
        ("CHAR(6)", "'a', 'ab', 'abc', 'abd', 'b'"),
        ("mood", "'sad', 'glad', 'mad'"),
        ("feeling", "'sad', 'glad', 'mad'"),
        ("BIT(3)", "B'001', B'101', B'111', B'000'"),
        ("\"char\"", "'a', 'b', 'c'"),
        ("NAME", "'a', 'b', 'c\\d', 'e:f'"),
        ("TEXT", "'', 'a', 'a:b', 'a\\b', 'a''b', '\u{e9}'"),
        (
            "TIMESTAMPTZ",
            "'2026-01-01 00:00:00.000001+00', '2026-01-01', '1999-01-01', '0044-03-15 BC', 'infinity'",
        ),
        ("NUMERIC", "1.10, 1.2, 'NaN', -5, 12345678901234567890.123"),
        ("FLOAT8", "0.1, 0.30000000000000004, 'NaN', '-Infinity'"),
        ("INTERVAL", "'1 day', '23 hours', '-1 mon'"),
        ("BYTEA", "'\\x00', '\\x5c27', ''"),
        ("UUID", "'00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'"),
        ("INT4RANGE", "'[1,3)', 'empty', '[2,)'"),
        ("INTEGER[]", "'{1}', '{1,2}', '{}'"),
        ("BOOLEAN", "true, false"),
        ("DATE", "'2026-01-01', '-infinity'"),
    ] {
        let database = Database::fresh().await;
        database.sql("CREATE TYPE mood AS ENUM ('sad', 'glad', 'mad'); CREATE DOMAIN feeling AS mood").await;
        database.sql(&format!("CREATE TABLE t (id {kind} PRIMARY KEY, n INTEGER)")).await;
        let rows = values.replace(", ", "), (");
        database.sql(&format!("INSERT INTO t (id) VALUES ({rows})")).await;
        database.capture("t", "T").await;
        start(&database, None).await.unwrap();
        let count = database.ask("SELECT count(*)::text FROM t").await.unwrap();
        let done = run(&database, 1).await;
        assert_eq!(
            (done.rows.to_string(), done.events.to_string()),
            (count.clone(), count.clone()),
            "{kind}"
        );
        // What the trigger says of the same rows.
        database.sql("UPDATE t SET n = 1").await;
        let kinds = database.kinds().await;
        let of = |what: &str| {
            let mut ids: Vec<_> = kinds.iter().filter_map(|kind| kind.strip_prefix(what)).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(of("created"), of("updated"), "{kind}");
        assert_eq!(of("created").len().to_string(), count, "{kind}");
    }
}

#[tokio::test]
async fn ties_nulls_and_composite_keys() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (k TEXT, z CHAR(2), n INTEGER)").await;
    capture(&database, &["k", "z"]).await;
    database
        .sql(
            r"SET aftercommit.actor = 'me'; ALTER TABLE t DISABLE TRIGGER USER;
              INSERT INTO t SELECT 'a:b', 'x', n FROM generate_series(1, 5) AS n; INSERT INTO t VALUES ('a\', 'b', 6), (NULL, 'c', 7), ('c', NULL, 8), ('z', 'z', 9);
              ALTER TABLE t ENABLE TRIGGER USER; RESET aftercommit.actor",
        )
        .await;
    start(&database, None).await.unwrap();
    let done = run(&database, 2).await;
    assert_eq!((done.rows, done.events, done.last.as_deref()), (7, 7, Some("z:z")));
    let kinds = database.kinds().await;
    let all = [r"created a\:b:x"; 5];
    assert_eq!(kinds, [&all[..], &[r"created a\\:b"], &["created z:z"]].concat());
    assert!(database.events().await.iter().all(|event| event.actor.is_none()));
    // The same once more is another backfill, and nothing after the end.
    assert!(start(&database, Some("n > 5")).await.unwrap().finished_at.is_none());
    assert_eq!(run(&database, 2).await.events, 2);
    assert_eq!(database.store.backfill_page("t", 2, at(9)).await.unwrap().events, 2);
}

#[tokio::test]
async fn one_with_another_condition_is_refused_until_it_is_begun_anew() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, secret TEXT); INSERT INTO t SELECT n, n, 'hidden' FROM generate_series(1, 10) AS n").await;
    let request = CaptureRequest {
        condition: Some("n <> 3".into()),
        selection: Selection::Exclude(vec!["secret".into()]),
        ..CaptureRequest::new("t", "T")
    };
    database.store.add_capture(request, at(0)).await.unwrap();
    start(&database, Some("n < 6")).await.unwrap();
    database.store.backfill_page("t", 4, at(1)).await.unwrap();
    assert_eq!(start(&database, Some("n < 6")).await.unwrap().rows, 4, "it goes on");
    let error = start(&database, None).await.unwrap_err().to_string();
    assert!(error.contains("--restart"), "{error}");
    // A column that is left out gets another name meanwhile.
    database.sql("ALTER TABLE t RENAME COLUMN secret TO open").await;
    let done = run(&database, 4).await;
    assert_eq!((done.rows, done.events), (10, 4));
    let images = database.images().await;
    assert!(images.iter().all(|image| !image.to_string().contains("hidden")), "{images:?}");
}

/// Rows that are changed while a page is made: what comes last is what the row is.
#[tokio::test]
async fn changes_meanwhile_keep_their_order() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t SELECT n, 0 FROM generate_series(1, 40) AS n").await;
    database.capture("t", "T").await;
    start(&database, None).await.unwrap();
    let mut application = database.connect().await;
    let writes = tokio::spawn(async move {
        for n in 1..=60 {
            let change = format!(
                "UPDATE t SET n = {n} WHERE id % 7 = {n} % 7; DELETE FROM t WHERE id = {n} AND id % 5 = 0"
            );
            execute(&mut application, &change).await.unwrap();
        }
    });
    run(&database, 3).await;
    writes.await.unwrap();
    database.settle().await;
    let mut last = std::collections::BTreeMap::new();
    for event in database.events().await {
        let is_there = event.event_kind != EventKind::Deleted;
        let id: u32 = event.entity_id.parse().unwrap();
        last.insert(id, is_there.then(|| event.data["n"].to_string()));
    }
    let told: Vec<_> = last.into_iter().filter_map(|(id, n)| Some(format!("{id}={}", n?))).collect();
    let there = database.ask("SELECT string_agg(id || '=' || n, ',' ORDER BY id) FROM t").await.unwrap();
    assert_eq!(told.join(","), there);
}
