//! Rows of the inbox that can not become events are put aside, each alone, whatever is wrong with them; the others go on.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{DeliveryId, EntityEvent, FailureClass};
use aftercommit_store::{
    AttemptRecord, Captures as _, Claims as _, Completion, DeadLetters as _, End, HostId, Intake as _,
    NewDelivery, Plan, Planned, PostgresOptions, Quarantine as _, Schema as _, TakeRequest, Taken,
    conformance::TestDatabase as _,
};
use aftercommit_tests::Cluster;
use sqlx::{Connection as _, PgConnection};

use crate::database::{Database, at, execute, server};

/// One delivery an event, ordered by entity.
struct OneEach;

impl Plan for OneEach {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "watcher", "hook"),
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            priority: 100,
            max_attempts: 3,
            ordering_key: Some(format!("watcher:{}", event.entity_id)),
            hold: false,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

fn request(limit: usize, max_bytes: usize) -> TakeRequest {
    TakeRequest { host: HostId::random(), limit, max_bytes, own: 100, own_bytes: usize::MAX, now: at(0) }
}

/// Takes all; returns how many events came and how many were put aside.
async fn take_all(store: &aftercommit_store::PostgresStore, limit: usize) -> (usize, usize) {
    let (mut events, mut aside) = (0, 0);
    for _ in 0..200 {
        let taken: Taken = store.take(request(limit, usize::MAX), Arc::new(OneEach)).await.unwrap();
        events += taken.events;
        aside += taken.quarantined.len();
        if !taken.more {
            return (events, aside);
        }
    }
    panic!("it does not come to an end");
}

/// Rows as no trigger of ours writes them; the last is in order.
const BAD: &[&str] = &[
    "'T', '1', 'created', now(), '{\"a\": '",
    "'T', '2', 'created', now(), '[]'",
    "'T', '3', 'created', now(), NULL",
    "'T', '4', 'exploded', now(), '{}'",
    "'T', '5', '', now(), '{}'",
    "'T', NULL, 'created', now(), '{}'",
    "NULL, '6', 'created', now(), '{}'",
    "'', '7', 'created', now(), '{}'",
    "'T', '12', 'created', NULL, '{}'",
    "'T', '13', 'created', now(), '{\"a\": \"\\ud800\"}'",
    "'T', '14', 'created', now(), repeat('[', 5000)",
    // Too long for the index of what is ordered.
    "'T', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n), 'created', now(), '{}'",
];

#[tokio::test]
async fn each_is_put_aside_alone() {
    for limit in [1, 2, 3, 1000] {
        let database = Database::fresh().await;
        for (n, bad) in BAD.iter().enumerate() {
            let (place, good) = (10 * n + 10, 10 * n + 15);
            database
                .sql(&format!(
                    "INSERT INTO observer_inbox (place, seq, entity_type, entity_id, event_kind, occurred_at, data)
                     VALUES ({place}, {place}, {bad}), ({good}, {good}, 'T', 'good {n}', 'created', now(), '{{}}')"
                ))
                .await;
        }
        // Pointers at no event, and at one that can not be read.
        database.sql("INSERT INTO observer_inbox (seq) VALUES (999999)").await;
        database
            .sql(
                "INSERT INTO observer_events (seq, id, entity_type, entity_id, event_kind, occurred_at, data)
                 VALUES (999998, '01900000-0000-7000-8000-000000000001', 'T', '1', 'created', now(), '[]');
                 INSERT INTO observer_inbox (seq) VALUES (999998)",
            )
            .await;
        let (events, aside) = take_all(&database.store, limit).await;
        assert_eq!(
            (events, aside),
            (BAD.len(), BAD.len() + 2),
            "limit {limit}: {:?}",
            database.kinds().await
        );
        assert_eq!(database.ask("SELECT count(*)::text FROM observer_inbox").await.as_deref(), Some("0"));
        let kinds = database.kinds().await;
        assert_eq!(kinds.len(), BAD.len());
        assert!(kinds.iter().all(|kind| kind.starts_with("created good")), "{kinds:?}");
    }
}

#[tokio::test]
async fn what_was_put_aside_is_shown_tried_again_and_discarded() {
    let database = Database::fresh().await;
    database
        .sql(
            "INSERT INTO observer_inbox (place, seq, entity_type, entity_id, event_kind, occurred_at, data, old, actor)
             VALUES (1, 1, 'T', '1', 'Exploded', '2026-01-01', '{\"a\": 1}', '{\"a\": 0}', 'me'), (2, 2, 'T', '2', 'created', '2026-01-01', '[', NULL, NULL),
                    (3, 3, 'T', NULL, 'created', '2026-01-01', '{}', NULL, NULL)",
        )
        .await;
    assert_eq!(take_all(&database.store, 10).await, (0, 3));
    let list = database.store.quarantined(10).await.unwrap();
    assert_eq!(list.len(), 3);
    let first = list.last().unwrap();
    let shown = database.store.quarantined_row(first.id).await.unwrap();
    assert_eq!(
        (shown.data.as_deref(), shown.old.as_deref(), shown.event_kind.as_deref()),
        (Some("{\"a\": 1}"), Some("{\"a\": 0}"), Some("Exploded"))
    );
    assert!(shown.row.reason.contains("event_kind"), "{}", shown.row.reason);
    // A person mends one; all are tried again, or none where one is not there.
    database
        .sql(&format!(
            "UPDATE observer_quarantine SET event_kind = 'updated' WHERE pk_quarantine = {}",
            first.id
        ))
        .await;
    assert!(database.store.require_quarantined(&[first.id, 999]).await.is_err());
    let mut put_back = 0;
    database.store.retry_all_quarantined(&mut |ids| put_back += ids.len()).await.unwrap();
    assert_eq!(put_back, 3);
    assert_eq!(take_all(&database.store, 10).await, (1, 2));
    let event = database.events().await.remove(0);
    assert_eq!(
        (event.event_kind.as_str(), event.actor.as_deref(), event.old.unwrap()["a"].as_i64()),
        ("updated", Some("me"), Some(0))
    );
    let ids: Vec<i64> = database.store.quarantined(10).await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(database.store.discard_quarantined(ids).await.unwrap(), 2);
    assert!(database.store.quarantined(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_has_no_more_bytes_than_asked_but_one_row_at_least() {
    let database = Database::fresh().await;
    for (n, size) in [30, 400, 30, 30, 400].into_iter().enumerate() {
        let n = n + 1;
        database
            .sql(&format!(
                "INSERT INTO observer_inbox (place, seq, entity_type, entity_id, event_kind, occurred_at, data)
                 VALUES ({n}, {n}, 'T', '{n}', 'created', now(), '{{\"a\": \"' || repeat('x', {size} - 9) || '\"}}')"
            ))
            .await;
    }
    let mut sizes = Vec::new();
    loop {
        let taken = database.store.take(request(100, 100), Arc::new(OneEach)).await.unwrap();
        sizes.push(taken.events);
        if !taken.more {
            break;
        }
    }
    assert_eq!(sizes.into_iter().filter(|size| *size > 0).collect::<Vec<_>>(), [1, 1, 2, 1]);
}

/// What an administrator has set for the database is not what a host works with.
#[tokio::test]
async fn defaults_of_the_database_do_not_matter() {
    for pooled in [false, true] {
        for setting in [
            "default_transaction_isolation = 'repeatable read'",
            "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
            "lock_timeout = '1ms'",
            "search_path = 'nowhere'",
            "plpgsql.extra_errors = 'all'",
            "plpgsql.variable_conflict = 'use_column'",
            "row_security = off",
        ] {
            let options = PostgresOptions { pooled, ..PostgresOptions::default() };
            let database = Database::empty(options).await;
            let mut administrator = server().await;
            execute(&mut administrator, &format!("ALTER DATABASE {} SET {setting}", database.name))
                .await
                .unwrap();
            let store = database.another().await;
            store.migrate().await.unwrap();
            let mut application = database.connect().await;
            let application_settings = "SET default_transaction_read_only = off; SET search_path = public";
            execute(&mut application, application_settings).await.unwrap();
            execute(&mut application, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await.unwrap();
            store.add_capture(aftercommit_store::CaptureRequest::new("t", "T"), at(0)).await.unwrap();
            execute(&mut application, "INSERT INTO t VALUES (1, 1); UPDATE t SET n = 2; DELETE FROM t")
                .await
                .unwrap();
            assert_eq!(take_all(&store, 2).await, (3, 0), "{setting}, pooled: {pooled}");
            store.refresh_capture("t", at(0)).await.unwrap();
            assert_eq!(store.captures().await.unwrap()[0].drift, None, "{setting}");
            store.close().await;
        }
    }
}

async fn encoded(encoding: &str) -> (Database, aftercommit_store::PostgresStore) {
    let database = Database::empty(PostgresOptions::default()).await;
    let mut administrator = server().await;
    let name = format!("{}_{}", database.name, encoding.to_lowercase());
    execute(
        &mut administrator,
        &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"),
    )
    .await
    .unwrap();
    let url = crate::database::CLUSTER.url(&name);
    let store = aftercommit_store::PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    (database, store)
}

#[tokio::test]
async fn a_database_without_an_encoding_is_refused() {
    let (database, store) = encoded("SQL_ASCII").await;
    let error = store.migrate().await.unwrap_err().to_string();
    assert!(error.contains("SQL_ASCII") && error.contains("--encoding UTF8"), "{error}");
    store.close().await;
    drop(database);
}

/// Bytes that are no text, in a database whose encoding was taken away after it was migrated.
#[tokio::test]
async fn bytes_that_are_no_text_are_put_aside_alone() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, k TEXT)").await;
    database.capture("t", "T").await;
    database.sql(&format!("UPDATE pg_database SET encoding = 0 WHERE datname = '{}'", database.name)).await;
    let store = database.another().await;
    let mut application = database.connect().await;
    let odd = "INSERT INTO t VALUES (1, 'a'), (2, E'\\xff\\xfe'), (3, 'b'); INSERT INTO observer_inbox (place, seq, entity_type, entity_id, event_kind, occurred_at, data)
               VALUES (1000, 1000, E'\\xff', E'\\xff', 'created', now(), '{}'); INSERT INTO t VALUES (4, 'c')";
    execute(&mut application, &format!("SET client_encoding = 'SQL_ASCII'; {odd}")).await.unwrap();
    assert_eq!(take_all(&store, 100).await, (3, 2));
    let aside = store.quarantined(10).await.unwrap();
    let shown = store.quarantined_row(aside.iter().map(|row| row.id).min().unwrap()).await.unwrap();
    assert!(shown.data.unwrap().contains("\u{fffd}"));
    store.close().await;
}

/// What a database can not store does not keep a delivery from its end.
#[tokio::test]
async fn characters_that_an_encoding_lacks() {
    let (database, store) = encoded("LATIN1").await;
    store.migrate().await.unwrap();
    let mut application =
        PgConnection::connect(&crate::database::CLUSTER.url(&format!("{}_latin1", database.name)))
            .await
            .unwrap();
    execute(&mut application, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await.unwrap();
    store.add_capture(aftercommit_store::CaptureRequest::new("t", "T"), at(0)).await.unwrap();
    execute(&mut application, "INSERT INTO t VALUES (1, 'caf\u{e9}')").await.unwrap();
    let taking = request(10, usize::MAX);
    let taken = store.take(taking, Arc::new(OneEach)).await.unwrap();
    assert_eq!(taken.owned[0].event.data["name"], "caf\u{e9}");
    let record = AttemptRecord {
        max_attempts: 3,
        class: Some(FailureClass::Permanent),
        code: Some("http_400_\u{65e5}".into()),
        message: "caf\u{e9} \u{65e5}\u{672c} \0".into(),
        http_status: Some(400),
        started_at: at(5),
        duration: Duration::from_millis(1),
        plugin: Some("\u{65e5}".into()),
        plugin_digest: None,
    };
    let action = serde_json::json!({"type": "webhook", "name": "\u{65e5} \u{1f600}"});
    let end = End::Dead { action: action.clone() };
    let completion = Completion { id: taken.owned[0].id, attempt: taken.owned[0].attempt, end, record };
    let report = store.complete(taking.host, vec![completion]).await.unwrap();
    assert_eq!(report.applied, 1, "{report:?}");
    let dead = store.dead_letters(10).await.unwrap();
    assert_eq!((dead.len(), dead[0].last_error.as_str()), (1, "caf\u{e9} ?? ?"));
    assert_eq!(dead[0].class.as_str(), "permanent");
    let letter = store.dead_letter(dead[0].id).await.unwrap();
    assert_eq!(letter.action_config, action, "JSON has escapes for them");
    store.close().await;
}

/// Every update and delete of our tables works where they are published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_of_all_tables() {
    let mut settings = Cluster::CARELESS.to_vec();
    settings.push("wal_level=logical");
    let cluster = Cluster::start_with(&settings);
    let store = aftercommit_store::PostgresStore::open(&cluster.url("postgres"), PostgresOptions::default())
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let mut application = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    execute(&mut application, "CREATE PUBLICATION p FOR ALL TABLES; CREATE TABLE t (id INTEGER PRIMARY KEY)")
        .await
        .unwrap();
    store.add_capture(aftercommit_store::CaptureRequest::new("t", "T"), at(0)).await.unwrap();
    execute(&mut application, "INSERT INTO t VALUES (1); UPDATE t SET id = 2; DELETE FROM t").await.unwrap();
    let host = request(10, usize::MAX);
    let taken = store.take(host, Arc::new(OneEach)).await.unwrap();
    assert_eq!(taken.events, 4);
    // A key for updates and deletes in each of our tables.
    let keyless = "SELECT string_agg(c.relname, ', ') FROM pg_class AS c
        WHERE c.relkind IN ('r', 'p') AND c.relname ~ '^(observer_|tb_observer)' AND c.relreplident = 'd'
          AND NOT EXISTS (SELECT 1 FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)";
    let keyless: Option<String> = sqlx::query_scalar(keyless).fetch_one(&mut application).await.unwrap();
    // These are not updated, or deleted as partitions.
    let mut left: Vec<String> =
        keyless.iter().flat_map(|names| names.split(", ")).map(str::to_owned).collect();
    left.retain(|name| {
        !name.ends_with("_default") && !name.chars().last().is_some_and(|c| c.is_ascii_digit())
    });
    assert_eq!(left, Vec::<String>::new());
    execute(&mut application, "INSERT INTO tb_observer (name) VALUES ('x'); UPDATE tb_observer SET enabled = false; DELETE FROM tb_observer")
        .await
        .unwrap();
    execute(&mut application, "UPDATE observer_events SET actor = 'x'; DELETE FROM observer_events")
        .await
        .unwrap();
    store.remove_capture("t").await.unwrap();
    store.close().await;
}
