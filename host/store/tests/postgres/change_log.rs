//! Change logs: what the rows that come into them become.

use std::{collections::BTreeMap, sync::Arc};

use aftercommit_core::EventKind;
use aftercommit_store::{
    Capture, CaptureRequest, Captures as _, ChangeLogField, ChangeLogRequest, Events as _, HostId,
    Intake as _, Quarantine as _, StoreError, TakeRequest, conformance::TestDatabase as _,
};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::database::{CLUSTER, Database, Nobody, at, execute};

/// As those have it who keep both images in columns of their own.
const LOG: &str = "CREATE SCHEMA core; CREATE TABLE core.tb_entity_change_log (
    pk_entity_change_log BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id UUID NOT NULL DEFAULT gen_random_uuid(),
    tenant_id UUID, fk_customer_org BIGINT, fk_contact BIGINT, object_type TEXT NOT NULL, object_id UUID,
    modification_type TEXT NOT NULL, object_data JSONB, object_data_before JSONB, change_status TEXT,
    extra_metadata JSONB, created_at TIMESTAMPTZ NOT NULL DEFAULT now())";

/// As those have it who keep what Debezium would send.
const ENVELOPES: &str = "CREATE TABLE tb_entity_change_log (
    pk BIGSERIAL PRIMARY KEY, fk_customer_org TEXT, fk_contact TEXT, object_type TEXT, object_id TEXT,
    modification_type TEXT, object_data JSONB, created_at TIMESTAMPTZ DEFAULT now())";

async fn capture(database: &Database, table: &str, columns: &[(&str, &str)]) -> Result<Capture, StoreError> {
    let columns: BTreeMap<ChangeLogField, String> =
        columns.iter().map(|(field, column)| (field.parse().unwrap(), (*column).to_owned())).collect();
    let request = ChangeLogRequest { table: table.into(), columns, notify: true };
    database.store.add_change_log(request, at(0)).await
}

/// Lets intake look; what it put aside, as (id of the entity, reason).
async fn put_aside(database: &Database) -> Vec<(String, String)> {
    let request = TakeRequest {
        host: HostId::random(),
        limit: 1000,
        max_bytes: usize::MAX,
        own: 0,
        own_bytes: usize::MAX,
        now: at(0),
    };
    database.store.take(request, Arc::new(Nobody)).await.unwrap();
    let mut rows = database.store.quarantined(100).await.unwrap();
    rows.reverse();
    rows.into_iter().map(|row| (row.entity_id.unwrap_or_default(), row.reason)).collect()
}

async fn assert_no_trace(database: &Database) {
    let left = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'aftercommit%'
                UNION ALL SELECT table_name FROM observer_captures";
    assert_eq!(database.ask(left).await, None);
}

/// By a role that may write to the log and nothing else, whose session is set in its own way.
#[tokio::test]
async fn rows_of_a_change_log_become_events() {
    let database = Database::fresh().await;
    database.sql(LOG).await;
    let added = capture(&database, "core.tb_entity_change_log", &[]).await.unwrap();
    assert_eq!((added.table.as_str(), added.entity_type.as_str()), ("core.tb_entity_change_log", "*"));
    database
        .sql("CREATE ROLE scribe LOGIN; GRANT USAGE ON SCHEMA core TO scribe; GRANT INSERT ON core.tb_entity_change_log TO scribe")
        .await;
    let mut scribe = sqlx::PgConnection::connect(&CLUSTER.url_as("scribe", &database.name)).await.unwrap();
    let tenant = "00000000-0000-0000-0000-0000000000aa";
    execute(
        &mut scribe,
        &format!(
            r#"SET timezone = 'Asia/Tokyo'; SET search_path = core;
            INSERT INTO tb_entity_change_log (tenant_id, fk_customer_org, fk_contact, object_type, object_id,
                modification_type, object_data, object_data_before, created_at) VALUES
            ('{tenant}', 5, 7, 'Order', '00000000-0000-0000-0000-000000000001', 'INSERT',
             '{{"total": 123456789012345678901234567890.10}}', NULL, '2026-01-31 10:00:00.000001+09'),
            ('{tenant}', 5, 7, 'Order', '00000000-0000-0000-0000-000000000001', 'Update',
             '{{"total": 6, "status": "new"}}', '{{"total": 5, "status": "new"}}', '2026-01-31 10:00:00.000001+09'),
            (NULL, NULL, NULL, 'User', '00000000-0000-0000-0000-000000000002', 'deleted',
             NULL, '{{"name": "Zoë"}}', '2026-01-31 10:00:00.000001+09')"#
        ),
    )
    .await
    .unwrap();
    scribe.close().await.unwrap();
    assert_eq!(put_aside(&database).await, []);
    let events = database.events().await;
    let kinds: Vec<_> = events.iter().map(|event| (event.event_kind, &*event.entity_type)).collect();
    let expected =
        [(EventKind::Created, "Order"), (EventKind::Updated, "Order"), (EventKind::Deleted, "User")];
    assert_eq!(kinds, expected, "in the order of the statement");
    assert_eq!(events[0].entity_id, "00000000-0000-0000-0000-000000000001");
    assert_eq!(events[0].data["total"].to_string(), "123456789012345678901234567890.10", "every digit");
    assert_eq!((events[0].tenant_id.as_deref(), events[0].actor.as_deref()), (Some(tenant), Some("7")));
    assert_eq!(events[0].occurred_at.to_string(), "2026-01-31T01:00:00.000001Z");
    assert_eq!(
        (&events[1].old, &events[1].changed[..]),
        (&Some(json!({"total": 5, "status": "new"})), &["total".to_owned()][..])
    );
    assert_eq!((&events[2].data, &events[2].old), (&json!({"name": "Zoë"}), &None));
    assert_eq!((&events[2].tenant_id, &events[2].actor), (&None, &None));
    database.sql("DROP OWNED BY scribe; DROP ROLE scribe").await;
}

#[tokio::test]
async fn every_way_to_write_to_the_log_is_captured_and_only_what_commits() {
    let database = Database::fresh().await;
    database.sql(ENVELOPES).await;
    capture(&database, "tb_entity_change_log", &[]).await.unwrap();
    let mut application = database.connect().await;
    let copy =
        "COPY tb_entity_change_log (object_type, object_id, modification_type, object_data) FROM STDIN";
    let mut copy = application.copy_in_raw(copy).await.unwrap();
    copy.send(&b"Order\t1\tINSERT\t{}\nOrder\t2\tINSERT\t{}\n"[..]).await.unwrap();
    copy.finish().await.unwrap();
    let insert = "INSERT INTO tb_entity_change_log (object_type, object_id, modification_type, object_data)";
    database.sql(&format!("BEGIN; {insert} VALUES ('Order', '3', 'INSERT', '{{}}'); ROLLBACK")).await;
    // As a writer does that makes its change and its row of the log in one statement.
    database
        .sql(&format!("WITH logged AS ({insert} VALUES ('Order', '4', 'INSERT', '{{}}') RETURNING pk) SELECT * FROM logged"))
        .await;
    database.sql("UPDATE tb_entity_change_log SET object_id = '9'; DELETE FROM tb_entity_change_log").await;
    assert_eq!(database.kinds().await, ["created 1", "created 2", "created 4"]);
    assert_eq!(database.store.inbox_len().await.unwrap(), 3);
}

#[tokio::test]
async fn an_envelope_is_opened_where_there_is_no_column_for_the_row_before() {
    let database = Database::fresh().await;
    database.sql(ENVELOPES).await;
    capture(&database, "tb_entity_change_log", &[]).await.unwrap();
    let insert = "INSERT INTO tb_entity_change_log (fk_customer_org, object_type, object_id, modification_type, object_data)";
    database
        .sql(&format!(
            r#"{insert} VALUES
            ('t', 'Order', '1', 'INSERT', '{{"op": "c", "before": null, "after": {{"n": 1.50}}, "source": {{"ts": 1}}}}'),
            ('t', 'Order', '1', 'UPDATE', '{{"op": "u", "before": {{"n": 1.50}}, "after": {{"n": 2}}}}'),
            ('t', 'Order', '1', 'DELETE', '{{"op": "d", "before": {{"n": 2}}, "after": null}}'),
            ('t', 'Rule', '2', 'UPDATE', '{{"op": "c", "before": "noon", "after": {{}}}}'),
            ('t', 'Rule', '3', 'UPDATE', '{{"op": "<=", "before": {{}}, "after": {{}}}}')"#
        ))
        .await;
    let events = database.events().await;
    let text = |image: &Option<Value>| image.as_ref().map(Value::to_string).unwrap_or_default();
    let owned = |(data, old): (&str, &str)| (data.to_owned(), old.to_owned());
    let images: Vec<_> = events.iter().map(|event| (event.data.to_string(), text(&event.old))).collect();
    assert_eq!(
        images[..3],
        [(r#"{"n":1.50}"#, ""), (r#"{"n":2}"#, r#"{"n":1.50}"#), (r#"{"n":2}"#, "")].map(owned)
    );
    assert_eq!(events[1].changed, ["n"]);
    assert_eq!(events[3].data["before"], "noon", "a row with fields of these names is no envelope");
    assert_eq!(events[4].data["op"], "<=");
    assert!(events.iter().all(|event| event.tenant_id.as_deref() == Some("t")));
    database.sql("ALTER TABLE tb_entity_change_log ADD COLUMN prior JSON").await;
    capture(&database, "tb_entity_change_log", &[("before", "prior")]).await.unwrap();
    database
        .sql(&format!(
            r#"{insert} VALUES ('t', 'Order', '4', 'UPDATE', '{{"op": "u", "before": {{}}, "after": {{}}}}')"#
        ))
        .await;
    assert_eq!(database.images().await[5]["op"], "u", "its before image has a column of its own");
}

/// What is no event is seen by people; what can not even be read fails nothing.
#[tokio::test]
async fn what_is_no_event_is_put_aside_and_the_commit_goes_on() {
    let database = Database::fresh().await;
    let log = "CREATE TABLE log (object_type TEXT, object_id TEXT, modification_type TEXT, object_data JSON, actor TEXT)";
    database.sql(log).await;
    capture(&database, "log", &[]).await.unwrap();
    database
        .sql(
            r#"INSERT INTO log VALUES
            (NULL, 'untyped', 'INSERT', '{}'), ('T', NULL, 'INSERT', '{}'), ('T', 'unkind', NULL, '{}'),
            ('T', 'merged', 'MERGE', '{}'), ('T', 'empty', 'INSERT', NULL), ('T', 'null', 'UPDATE', 'null'),
            ('T', 'list', 'UPDATE', '[1]'), ('T', 'nul', 'DELETE', '{"a": "\u0000"}'),
            ('T', 'half', 'INSERT', '{"a": "\ud83d \n\udc00"}'), ('T', 'good', 'Created', '{"z": "\ud83d\ude00 \u00e9", "a": "\\ud800"}'),
            ('T', 'gone', 'DELETE', NULL), ('T', 'own', 'custom', '{"a": 1e400}')"#,
        )
        .await;
    let aside = put_aside(&database).await;
    let expected = [
        ("untyped", "entity_type"),
        ("", "entity_id"),
        ("unkind", "event_kind"),
        ("merged", "`MERGE`"),
        ("empty", "no data"),
        ("null", "no data"),
        ("list", "not a JSON object"),
        ("half", "not JSON"),
    ];
    assert_eq!(aside.len(), expected.len(), "{aside:?}");
    for ((id, reason), (expected_id, hint)) in aside.iter().zip(expected) {
        assert!(id == expected_id && reason.contains(hint), "{id}: {reason}");
    }
    assert_eq!(database.kinds().await, ["deleted nul", "created good", "deleted gone", "custom own"]);
    let images = database.images().await;
    assert_eq!(images[1].to_string(), r#"{"z":"😀 é","a":"\\ud800"}"#, "as it was written, in its own order");
    assert_eq!((&images[2], images[3]["a"].to_string()), (&json!({}), "1e+400".to_owned()));
}

/// The time decides the partition. Old rows lie where retention looks at each; none is of the future.
#[tokio::test]
async fn a_row_has_the_time_that_the_log_says() {
    let database = Database::fresh().await;
    database.sql(&ENVELOPES.replace("TIMESTAMPTZ DEFAULT now()", "TIMESTAMP")).await;
    capture(&database, "tb_entity_change_log", &[]).await.unwrap();
    let insert = "SET timezone = 'Asia/Tokyo'; INSERT INTO tb_entity_change_log
        (object_type, object_id, modification_type, object_data, created_at) SELECT 'T', n, 'INSERT', '{}', t
        FROM unnest(ARRAY['2020-02-29 10:00', '2999-01-01 00:00', 'infinity', '-infinity', '0044-03-15 BC', NULL]::timestamp[])
             WITH ORDINALITY AS u (t, n)";
    database.sql(insert).await;
    assert_eq!(put_aside(&database).await, []);
    let times = database.events().await;
    assert_eq!(times[0].occurred_at.to_string(), "2020-02-29T10:00:00.000000Z", "without a zone it is UTC");
    database.settle().await;
    let at_once = "SELECT count(*)::text FROM observer_events WHERE occurred_at BETWEEN now() - interval '1 minute' AND now()";
    assert_eq!(database.ask(at_once).await.as_deref(), Some("5"));
    let old = "SELECT string_agg(entity_id, ',') FROM observer_events_default";
    assert_eq!(database.ask(old).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn columns_can_have_other_names_and_types() {
    let database = Database::fresh().await;
    database
        .sql(
            r#"CREATE DOMAIN image AS JSONB; CREATE TYPE verb AS ENUM ('insert', 'delete');
            CREATE TABLE audit (n INTEGER, t TEXT, "entity type" VARCHAR(20), pk NUMERIC, verb verb, "row" image,
                tenant_id TEXT, who INTEGER, field TEXT, names TEXT, at DATE)"#,
        )
        .await;
    let named = [
        ("object_type", "entity type"),
        ("object_id", "PK"),
        ("modification_type", "verb"),
        ("object_data", "row"),
        ("tenant", ""),
        ("actor", "who"),
        ("created_at", "at"),
    ];
    let added = capture(&database, "audit", &named).await.unwrap();
    assert_eq!(added.change_log.as_ref().unwrap()[&ChangeLogField::ObjectId], "pk", "as SQL reads names");
    assert_eq!(database.drift().await, "");
    database
        .sql(r#"INSERT INTO audit VALUES (1, 't', 'Part', 12345678901234567890123.50, 'insert', '{"a": 1}', 'x', 9, 'f', 'n', '2026-01-31')"#)
        .await;
    let event = database.events().await.remove(0);
    assert_eq!((&*event.entity_type, &*event.entity_id), ("Part", "12345678901234567890123.50"));
    assert_eq!((event.tenant_id, event.actor.as_deref()), (None, Some("9")));
    assert_eq!(event.occurred_at.to_string(), "2026-01-31T00:00:00.000000Z");
    assert_eq!(event.data, json!({"a": 1}));
}

/// Whatever became of its columns.
#[tokio::test]
async fn a_changed_log_does_not_fail_the_application() {
    let database = Database::fresh().await;
    database.sql(ENVELOPES).await;
    capture(&database, "tb_entity_change_log", &[]).await.unwrap();
    for (n, change) in [
        "ALTER COLUMN created_at DROP DEFAULT, ALTER COLUMN created_at TYPE TEXT",
        "ALTER COLUMN object_data TYPE TEXT",
        "RENAME COLUMN object_data TO payload",
        "DROP COLUMN object_type",
        "ADD COLUMN odd JSON DEFAULT '\"\\ud800\"'",
    ]
    .into_iter()
    .enumerate()
    {
        database.sql(&format!("ALTER TABLE tb_entity_change_log {change}")).await;
        database
            .sql(&format!(
                "INSERT INTO tb_entity_change_log (object_id, modification_type, created_at)
                 VALUES ('{n}', 'INSERT', 'the 31st of February')"
            ))
            .await;
    }
    assert_eq!(put_aside(&database).await.len(), 5);
    let drift = database.drift().await;
    for hint in [
        "the column object_data, which was its object_data, is gone",
        "the column object_type, which was its object_type, is gone",
        "`aftercommit capture add-changelog tb_entity_change_log --column object_type=COLUMN --column object_data=COLUMN` again",
    ] {
        assert!(drift.contains(hint), "{drift}");
    }
}

#[tokio::test]
async fn what_is_no_change_log_is_refused_with_what_to_do() {
    let database = Database::fresh().await;
    database
        .sql(&format!(
            "{ENVELOPES}; CREATE TABLE orders (id INTEGER PRIMARY KEY, object_type TEXT);
             CREATE VIEW glance AS SELECT * FROM tb_entity_change_log;
             CREATE TABLE texts (object_type TEXT, object_id TEXT, modification_type TEXT, object_data TEXT);
             CREATE TABLE dates (object_type TEXT, object_id TEXT, modification_type TEXT, object_data JSON, created_at TEXT)"
        ))
        .await;
    let log = "tb_entity_change_log";
    for (table, columns, hints) in [
        ("nowhere", &[][..], &["no table `nowhere`", "orders"][..]),
        ("glance", &[], &["view"]),
        ("observer_events", &[], &["aftercommit"]),
        (
            "orders",
            &[],
            &[
                "not shaped like a change log",
                "`object_id`",
                "--column object_data=COLUMN",
                "among id, object_type",
            ],
        ),
        (log, &[("object_id", "key")], &["no column `key` for `object_id`", "it has pk, "]),
        ("texts", &[], &["`object_data` of `texts` is text", "jsonb"]),
        ("dates", &[], &["`created_at` of `dates` is text", "none with nothing after"]),
    ] {
        let error = capture(&database, table, columns).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
        for hint in hints {
            assert!(error.to_string().contains(hint), "{table}: `{error}` does not say `{hint}`");
        }
    }
    assert_no_trace(&database).await;
    capture(&database, "dates", &[("created_at", "")]).await.unwrap();
    capture(&database, log, &[]).await.unwrap();
    let request = CaptureRequest::new(log, "Row");
    let error = database.store.add_capture(request, at(0)).await.unwrap_err().to_string();
    assert!(
        error.contains("captured already, as a change log") && error.contains("capture remove"),
        "{error}"
    );
    database.capture("orders", "Order").await;
    let named = [("object_id", "id"), ("modification_type", "id"), ("object_data", "id")];
    let error = capture(&database, "orders", &named).await.unwrap_err().to_string();
    assert!(error.contains("`object_data` has to be jsonb"), "{error}");
    database.store.remove_capture(log).await.unwrap();
    database.capture(log, "Row").await;
    let error = capture(&database, log, &[]).await.unwrap_err().to_string();
    assert!(error.contains("captured already, as `Row`"), "{error}");
}

#[tokio::test]
async fn a_partitioned_log_is_listed_renewed_and_removed_without_a_trace() {
    let database = Database::fresh().await;
    let log = ENVELOPES
        .replace("PRIMARY KEY", "")
        .replace("DEFAULT now())", "DEFAULT now()) PARTITION BY LIST (object_type)");
    database
        .sql(&format!(
            "{log}; CREATE TABLE orders_log PARTITION OF tb_entity_change_log FOR VALUES IN ('Order')"
        ))
        .await;
    capture(&database, "tb_entity_change_log", &[]).await.unwrap();
    let values =
        "(object_type, object_id, modification_type, object_data) VALUES ('Order', '1', 'INSERT', '{}')";
    database
        .sql(&format!("INSERT INTO tb_entity_change_log {values}; INSERT INTO orders_log {values}"))
        .await;
    assert_eq!(database.kinds().await.len(), 2, "through every name, once");
    assert_eq!(database.drift().await, "");
    database.sql("CREATE TABLE rest PARTITION OF tb_entity_change_log DEFAULT").await;
    assert_eq!(database.drift().await, "", "it has the log's trigger");
    for (change, finding) in [
        (
            "ALTER TABLE orders_log DISABLE TRIGGER \"!aftercommit_insert\"",
            "the trigger of orders_log is disabled",
        ),
        (
            "ALTER TABLE tb_entity_change_log DISABLE TRIGGER \"!aftercommit_insert\"",
            "!aftercommit_insert on tb_entity_change_log is disabled",
        ),
        (
            "DROP TRIGGER \"!aftercommit_insert\" ON tb_entity_change_log",
            "!aftercommit_insert on tb_entity_change_log is missing",
        ),
    ] {
        database.sql(change).await;
        assert!(database.drift().await.contains(finding), "{}", database.drift().await);
    }
    capture(&database, "tb_entity_change_log", &[]).await.unwrap();
    assert_eq!(database.drift().await, "");
    database.sql(&format!("INSERT INTO tb_entity_change_log {values}")).await;
    assert_eq!(database.kinds().await.len(), 3, "renewed, and not captured twice");
    database.sql("ALTER TABLE tb_entity_change_log RENAME TO journal").await;
    let drift = database.drift().await;
    assert!(
        drift.contains("is now named `journal`")
            && drift.contains("`aftercommit capture add-changelog journal`"),
        "{drift}"
    );
    database.store.remove_capture("tb_entity_change_log").await.unwrap();
    assert_no_trace(&database).await;
    database.sql(&format!("INSERT INTO journal {values}")).await;
    assert_eq!(database.kinds().await.len(), 3);
    capture(&database, "journal", &[]).await.unwrap();
    database.sql("DROP TABLE journal").await;
    assert!(database.drift().await.contains("the table is gone"));
    database.store.remove_capture("journal").await.unwrap();
    assert_no_trace(&database).await;
}

/// Next to a captured table: neither takes the other's triggers.
#[tokio::test]
async fn a_log_and_a_table_are_captured_side_by_side() {
    let database = Database::fresh().await;
    database.sql(&format!("{ENVELOPES}; CREATE TABLE orders (id INTEGER PRIMARY KEY)")).await;
    let quiet =
        ChangeLogRequest { table: "tb_entity_change_log".into(), columns: BTreeMap::new(), notify: false };
    database.store.add_change_log(quiet, at(0)).await.unwrap();
    // Its entity type is the name of the log's capture.
    database.capture("orders", "tb_entity_change_log").await;
    let shown: Vec<_> = database.store.captures().await.unwrap();
    assert!(shown.iter().all(|status| status.drift.is_none()), "{shown:?}");
    let json = serde_json::to_value(&shown[1]).unwrap();
    assert_eq!(
        (&json["entity_type"], &json["change_log"]["object_type"]),
        (&json!("*"), &json!("object_type"))
    );
    assert!(serde_json::to_value(&shown[0]).unwrap().get("change_log").is_none());
    database.store.remove_capture("orders").await.unwrap();
    let mut listener = sqlx::postgres::PgListener::connect(&database.url()).await.unwrap();
    listener.listen("observer_inbox").await.unwrap();
    database.falls_asleep().await;
    let insert = "INSERT INTO tb_entity_change_log (object_type, object_id, modification_type, object_data)
        VALUES ('Order', '1', 'INSERT', '{}')";
    database.sql(insert).await;
    database.sql("NOTIFY observer_inbox, 'quiet so far'").await;
    assert_eq!(listener.recv().await.unwrap().payload(), "quiet so far");
    capture(&database, "tb_entity_change_log", &[]).await.unwrap();
    database.sql(insert).await;
    assert_eq!(listener.recv().await.unwrap().payload(), "");
    assert_eq!(database.kinds().await, ["created 1", "created 1"]);
}
