//! Cases of `Captures`, in SQL that every backend understands.

use aftercommit_core::{EventKind, event::changed_fields};
use serde_json::{Value, json};

use super::fixture::{Fixture, at};
use crate::{Capture, CaptureRequest, EventFilter, StoreError};

const ORDERS: &str =
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total NUMERIC(30, 2), paid BOOLEAN)";

async fn capture(fixture: &Fixture, table: &str, entity_type: &str, key: &[&str]) -> crate::Result<Capture> {
    let request = CaptureRequest {
        key: key.iter().map(|&column| column.into()).collect(),
        ..CaptureRequest::new(table, entity_type)
    };
    fixture.store.add_capture(request, at(3)).await
}

async fn orders(fixture: &Fixture) -> Capture {
    fixture.database.sql(ORDERS).await;
    capture(fixture, "orders", "Order", &[]).await.unwrap()
}

/// The events so far, the oldest first: kind, entity id, and the two images.
async fn captured(fixture: &Fixture) -> Vec<(EventKind, String, Value, Option<Value>)> {
    let filter = EventFilter { limit: 1000, ..EventFilter::default() };
    let mut events = fixture.store.events(filter).await.unwrap();
    events.reverse();
    events.into_iter().map(|event| (event.event_kind, event.entity_id, event.data, event.old)).collect()
}

async fn kinds(fixture: &Fixture) -> Vec<(EventKind, String)> {
    captured(fixture).await.into_iter().map(|(kind, id, ..)| (kind, id)).collect()
}

fn order(id: u32, status: &str) -> Value {
    json!({"id": id, "status": status, "total": 5, "paid": false})
}

/// It is the event that was expected. A database may show the scale of a number: 5 as 5.00.
fn assert_event(
    (kind, id, data, old): &(EventKind, String, Value, Option<Value>),
    (expected_kind, expected_id, expected_data, expected_old): (EventKind, &str, &Value, Option<&Value>),
) {
    assert_eq!((*kind, id.as_str()), (expected_kind, expected_id));
    assert_eq!(old.is_some(), expected_old.is_some(), "{kind}: {old:?}");
    for (image, expected) in [(Some(data), Some(expected_data)), (old.as_ref(), expected_old)] {
        let (Some(image), Some(expected)) = (image, expected) else { continue };
        let columns = |image: &Value| image.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(columns(image), columns(expected), "{kind}");
        assert_eq!(changed_fields(expected, image), Vec::<String>::new(), "{kind}: {image}");
    }
}

pub(super) async fn captures_inserts_updates_and_deletes(fixture: Fixture) {
    let added = orders(&fixture).await;
    assert_eq!(
        (added.entity_type.as_str(), &added.key[..], added.created_at),
        ("Order", &["id".to_owned()][..], at(3))
    );
    assert_eq!(added.columns, ["id", "status", "total", "paid"]);
    fixture.database.sql("INSERT INTO orders VALUES (1, 'pending', 5, FALSE)").await;
    fixture.database.sql("UPDATE orders SET status = 'shipped' WHERE id = 1").await;
    fixture.database.sql("DELETE FROM orders WHERE id = 1").await;
    let (pending, shipped) = (order(1, "pending"), order(1, "shipped"));
    let events = captured(&fixture).await;
    assert_event(&events[0], (EventKind::Created, "1", &pending, None));
    assert_event(&events[1], (EventKind::Updated, "1", &shipped, Some(&pending)));
    assert_event(&events[2], (EventKind::Deleted, "1", &shipped, None));
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 3);
    let taken = fixture.take(10, &[super::fixture::Target::new("watcher")]).await;
    assert_eq!(taken.owned[1].event.changed, ["status"]);
    assert!(taken.owned.windows(2).all(|pair| pair[0].event.occurred_at <= pair[1].event.occurred_at));
}

pub(super) async fn one_statement_makes_many_events(fixture: Fixture) {
    orders(&fixture).await;
    let values: Vec<_> = (1..=40).map(|id| format!("({id}, 'pending', {id}, TRUE)")).collect();
    fixture.database.sql(&format!("INSERT INTO orders VALUES {}", values.join(", "))).await;
    fixture.database.sql("UPDATE orders SET status = 'shipped' WHERE id > 30").await;
    fixture.database.sql("DELETE FROM orders WHERE id <= 5").await;
    let count = |events: &[(EventKind, String)], kind| events.iter().filter(|event| event.0 == kind).count();
    let events = kinds(&fixture).await;
    let counts =
        [EventKind::Created, EventKind::Updated, EventKind::Deleted].map(|kind| count(&events, kind));
    assert_eq!(counts, [40, 10, 5]);
}

pub(super) async fn a_rollback_leaves_nothing(fixture: Fixture) {
    orders(&fixture).await;
    fixture.database.sql("BEGIN; INSERT INTO orders VALUES (1, 'pending', 5, FALSE); ROLLBACK").await;
    assert_eq!((captured(&fixture).await.len(), fixture.store.inbox_len().await.unwrap()), (0, 0));
    fixture.database.sql("BEGIN; INSERT INTO orders VALUES (1, 'pending', 5, FALSE); COMMIT").await;
    assert_eq!((captured(&fixture).await.len(), fixture.store.inbox_len().await.unwrap()), (1, 1));
}

pub(super) async fn an_update_that_changes_nothing_is_no_event(fixture: Fixture) {
    orders(&fixture).await;
    fixture.database.sql("INSERT INTO orders VALUES (1, 'pending', 5, FALSE), (2, 'new', NULL, NULL)").await;
    fixture.database.sql("UPDATE orders SET status = status, total = total").await;
    fixture.database.sql("UPDATE orders SET status = 'pending'").await;
    let expected = [(EventKind::Created, "1"), (EventKind::Created, "2"), (EventKind::Updated, "2")];
    assert_eq!(kinds(&fixture).await, expected.map(|(kind, id)| (kind, id.to_owned())));
}

pub(super) async fn a_changed_key_is_a_delete_and_a_create(fixture: Fixture) {
    orders(&fixture).await;
    fixture.database.sql("INSERT INTO orders VALUES (1, 'pending', 5, FALSE)").await;
    fixture.database.sql("UPDATE orders SET id = 2, status = 'moved'").await;
    let events = captured(&fixture).await;
    assert_event(&events[1], (EventKind::Deleted, "1", &order(1, "pending"), None));
    assert_event(&events[2], (EventKind::Created, "2", &order(2, "moved"), None));
    assert_eq!(events.len(), 3);
}

pub(super) async fn joins_the_parts_of_a_key(fixture: Fixture) {
    fixture
        .database
        .sql("CREATE TABLE lines (order_id INTEGER, sku TEXT, n INTEGER, PRIMARY KEY (sku, order_id))")
        .await;
    let added = capture(&fixture, "lines", "Line", &[]).await.unwrap();
    assert_eq!(added.key, ["sku", "order_id"], "in the order of the key");
    fixture.database.sql("INSERT INTO lines VALUES (7, 'a-1', 1)").await;
    capture(&fixture, "lines", "Line", &["order_id", "sku", "n"]).await.unwrap();
    fixture.database.sql("INSERT INTO lines VALUES (8, 'b', 2)").await;
    let ids: Vec<_> = kinds(&fixture).await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["a-1:7", "8:b:2"]);
}

pub(super) async fn quarantines_a_row_without_a_key(fixture: Fixture) {
    fixture.database.sql("CREATE TABLE things (id INTEGER PRIMARY KEY, a TEXT, b TEXT)").await;
    capture(&fixture, "things", "Thing", &["a", "b"]).await.unwrap();
    fixture.database.sql("INSERT INTO things VALUES (1, 'x', NULL), (2, 'x', 'y')").await;
    let taken = fixture.take(10, &[super::fixture::Target::new("watcher")]).await;
    assert_eq!((taken.events, taken.quarantined.len()), (1, 1));
    assert_eq!(kinds(&fixture).await, [(EventKind::Created, "x:y".to_owned())], "lists pass over it");
}

pub(super) async fn captures_an_upsert_as_what_it_did(fixture: Fixture) {
    orders(&fixture).await;
    for status in ["pending", "shipped"] {
        fixture
            .database
            .sql(&format!(
                "INSERT INTO orders VALUES (1, '{status}', 5, FALSE) \
                 ON CONFLICT (id) DO UPDATE SET status = excluded.status"
            ))
            .await;
    }
    fixture.database.sql("INSERT INTO orders VALUES (1, 'lost', 5, FALSE) ON CONFLICT (id) DO NOTHING").await;
    let expected = [EventKind::Created, EventKind::Updated].map(|kind| (kind, "1".to_owned()));
    assert_eq!(kinds(&fixture).await, expected);
}

pub(super) async fn keeps_numbers_texts_and_nulls(fixture: Fixture) {
    fixture
        .database
        .sql("CREATE TABLE odd (id BIGINT PRIMARY KEY, r DOUBLE PRECISION, t TEXT, b BOOLEAN)")
        .await;
    capture(&fixture, "odd", "Odd", &[]).await.unwrap();
    let text = "quote \" slash \\ tab \t line \n é 日本 🦀 it''s";
    fixture
        .database
        .sql(&format!(
            "INSERT INTO odd VALUES (9223372036854775807, 0.1, '{text}', TRUE), \
             (-9223372036854775808, -1.7976931348623157e308, '', FALSE), (0, 5e-324, NULL, NULL)"
        ))
        .await;
    let events = captured(&fixture).await;
    let number = |data: &Value| data["id"].to_string();
    let ids: Vec<_> = events.iter().map(|event| (event.1.clone(), number(&event.2))).collect();
    assert!(ids.iter().all(|(key, id)| key == id), "{ids:?}");
    assert_eq!(ids[0].0, "9223372036854775807");
    assert_eq!(ids[1].0, "-9223372036854775808");
    let reals: Vec<f64> = events.iter().map(|event| event.2["r"].to_string().parse().unwrap()).collect();
    assert_eq!(reals, [0.1, f64::MIN, 5e-324]);
    assert_eq!(events[0].2["t"], text.replace("''", "'"));
    assert_eq!((&events[1].2["t"], &events[2].2["t"]), (&json!(""), &Value::Null));
    assert_eq!(
        (&events[0].2["b"], &events[1].2["b"], &events[2].2["b"]),
        (&json!(true), &json!(false), &Value::Null)
    );
}

/// It is refused, and the message says all of this.
async fn assert_refused(fixture: &Fixture, table: &str, key: &[&str], hints: &[&str]) {
    let error = capture(fixture, table, "Thing", key).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{table}: {error:?}");
    for hint in hints {
        assert!(error.to_string().contains(hint), "{table}: `{error}` does not say `{hint}`");
    }
}

pub(super) async fn refuses_what_it_can_not_capture(fixture: Fixture) {
    fixture.database.sql(ORDERS).await;
    fixture
        .database
        .sql("CREATE TABLE keyless (a TEXT, b TEXT); CREATE VIEW glance AS SELECT * FROM orders")
        .await;
    assert_refused(&fixture, "nowhere", &[], &["nowhere", "orders"]).await;
    assert_refused(&fixture, "keyless", &[], &["keyless", "primary key", "--key"]).await;
    assert_refused(&fixture, "orders", &["colour"], &["colour", "status"]).await;
    assert_refused(&fixture, "orders", &["id", "id"], &["id", "twice"]).await;
    assert_refused(&fixture, "glance", &["id"], &["glance", "view"]).await;
    for own in ["observer_events", "observer_inbox", "observer_deliveries", "tb_observer", "tb_observer_log"]
    {
        assert_refused(&fixture, own, &[], &[own, "aftercommit"]).await;
    }
    assert!(capture(&fixture, "orders", "", &[]).await.is_err(), "no entity type");
    assert!(capture(&fixture, "orders", "*", &[]).await.is_err(), "stands for all");
    assert!(fixture.store.captures().await.unwrap().is_empty());
    capture(&fixture, "keyless", "Thing", &["a"]).await.unwrap();
}

pub(super) async fn refuses_an_entity_type_that_is_taken(fixture: Fixture) {
    orders(&fixture).await;
    fixture.database.sql("CREATE TABLE purchases (id INTEGER PRIMARY KEY)").await;
    let error = capture(&fixture, "purchases", "Order", &[]).await.unwrap_err();
    assert!(error.to_string().contains("orders") && error.to_string().contains("capture remove"), "{error}");
    capture(&fixture, "purchases", "Purchase", &[]).await.unwrap();
    let error = capture(&fixture, "orders", "OnlineOrder", &[]).await.unwrap_err();
    for hint in ["captured as `Order`", "`OnlineOrder`", "--rename"] {
        assert!(error.to_string().contains(hint), "{error}");
    }
    let request = CaptureRequest { rename: true, ..CaptureRequest::new("orders", "OnlineOrder") };
    fixture.store.add_capture(request, at(0)).await.unwrap();
    let request = CaptureRequest { rename: true, ..CaptureRequest::new("purchases", "Order") };
    fixture.store.add_capture(request, at(0)).await.unwrap();
    fixture.database.sql("INSERT INTO orders VALUES (1, 'pending', 5, FALSE)").await;
    let types: Vec<_> = fixture.database.events().await.into_iter().map(|event| event.entity_type).collect();
    assert_eq!(types, ["OnlineOrder"]);
}

async fn drift(fixture: &Fixture) -> Option<String> {
    let statuses = fixture.store.captures().await.unwrap();
    assert_eq!(statuses.len(), 1);
    statuses[0].drift.clone()
}

pub(super) async fn reports_and_renews_after_the_table_changed(fixture: Fixture) {
    orders(&fixture).await;
    assert_eq!(drift(&fixture).await, None);
    fixture.database.sql("ALTER TABLE orders ADD COLUMN note TEXT").await;
    let found = drift(&fixture).await.unwrap();
    assert!(found.contains("note") && found.contains("capture refresh orders"), "{found}");
    fixture.database.sql("INSERT INTO orders VALUES (1, 'pending', 5, FALSE, 'hello')").await;
    let refreshed = fixture.store.refresh_capture("orders", at(9)).await.unwrap();
    assert_eq!((&refreshed.columns[4..], refreshed.created_at), (&["note".to_owned()][..], at(9)));
    assert_eq!(drift(&fixture).await, None);
    fixture.database.sql("UPDATE orders SET note = 'bye'").await;
    let events = captured(&fixture).await;
    assert_eq!((events.len(), &events[1].2["note"]), (2, &json!("bye")), "renewed, and not captured twice");
    fixture.database.sql("ALTER TABLE orders RENAME COLUMN status TO state").await;
    let found = drift(&fixture).await.unwrap();
    assert!(found.contains("status") && found.contains("state"), "{found}");
}

pub(super) async fn reports_a_table_that_is_gone(fixture: Fixture) {
    let added = orders(&fixture).await;
    fixture.database.sql("DROP TABLE orders").await;
    let found = drift(&fixture).await.unwrap();
    assert!(found.contains("gone") && found.contains("capture remove"), "{found}");
    fixture.store.remove_capture(&added.table).await.unwrap();
    assert!(fixture.store.captures().await.unwrap().is_empty());
}

pub(super) async fn removing_leaves_no_trace(fixture: Fixture) {
    orders(&fixture).await;
    fixture.store.remove_capture("orders").await.unwrap();
    fixture.database.sql("INSERT INTO orders VALUES (1, 'pending', 5, FALSE)").await;
    assert_eq!(captured(&fixture).await.len(), 0);
    assert!(fixture.store.captures().await.unwrap().is_empty());
    let error = fixture.store.remove_capture("orders").await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

pub(super) async fn odd_names_work(fixture: Fixture) {
    let table = r#"odd "table" d'été"#;
    let quoted = format!("\"{}\"", table.replace('"', "\"\""));
    fixture
        .database
        .sql(&format!(
            r#"CREATE TABLE {quoted} ("order" INTEGER PRIMARY KEY, "a ""b"" 'c'" TEXT, "日本 %s" TEXT, "Ünder\" TEXT)"#
        ))
        .await;
    capture(&fixture, table, "Odd \"type\" d'été", &["order"]).await.unwrap();
    fixture.database.sql(&format!("INSERT INTO {quoted} VALUES (1, 'x', 'y', 'z')")).await;
    fixture.database.sql(&format!(r#"UPDATE {quoted} SET "日本 %s" = 'w'"#)).await;
    let events = captured(&fixture).await;
    assert_eq!(events[0].2, json!({"order": 1, "a \"b\" 'c'": "x", "日本 %s": "y", "Ünder\\": "z"}));
    assert_eq!(events[1].2["日本 %s"], "w");
    assert_eq!(drift(&fixture).await, None);
    fixture.store.remove_capture(table).await.unwrap();
    fixture.database.sql(&format!("DELETE FROM {quoted}")).await;
    assert_eq!(captured(&fixture).await.len(), 2);
}
