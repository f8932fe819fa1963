//! `examples/actions/search.toml` with a server that others wrote: what it finds is what the table has.

use std::time::Duration;

use aftercommit_core::EventKind;
use aftercommit_tests::OpenSearchServer;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    component::{action, details},
    elasticsearch::event,
    example::{PRIVATE, example, shop},
};

const SOON: Duration = Duration::from_mins(1);

/// Ids of the documents that a query finds, in order.
async fn found(server: &OpenSearchServer, query: &str) -> Vec<String> {
    let url = format!("{}/orders/_search?q={query}&size=100", server.url());
    let refreshed = reqwest::Client::new().post(format!("{}/orders/_refresh", server.url())).send().await;
    assert!(refreshed.unwrap().status().is_success());
    let answer: Value =
        serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap();
    let hits = answer["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let mut ids: Vec<String> = hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_what_the_table_has() {
    let server = OpenSearchServer::start();
    let observers = example("search", &[("api_key_env", format!("engine = \"opensearch\"\n{PRIVATE}"))]);
    let shop = shop(&observers, &[("SEARCH_URL", server.url()), ("SEARCH_API_KEY", "unused")]).await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 1.5), (2, 'pending', 20), (3, 'pending', 300)").await;
    shop.sql("UPDATE orders SET status = 'shipped' WHERE id > 1").await;
    shop.sql("DELETE FROM orders WHERE id = 3").await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
    assert_eq!(found(&server, "status:pending").await, ["order_1"]);
    assert_eq!(found(&server, "status:shipped").await, ["order_2"]);
    assert_eq!(found(&server, "total:%3E10").await, ["order_2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bulks_leave_what_the_table_has() {
    let server = OpenSearchServer::start();
    let more = format!("engine = \"opensearch\"\nbatch = {{ max_items = 40, max_wait_ms = 50 }}\n{PRIVATE}");
    let observers = example("search", &[("api_key_env", more)]);
    let shop = shop(&observers, &[("SEARCH_URL", server.url()), ("SEARCH_API_KEY", "unused")]).await;
    let host = shop.start_host();
    shop.sql(
        "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 150)
         INSERT INTO orders SELECT id, 'pending', id FROM n",
    )
    .await;
    shop.sql("UPDATE orders SET status = 'shipped' WHERE id <= 100; DELETE FROM orders WHERE id <= 10").await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
    assert_eq!(found(&server, "status:shipped").await.len(), 90);
    assert_eq!(found(&server, "status:pending").await.len(), 50);
}

/// Deliveries of one row overtake each other; its versions do not, however close the changes were.
#[tokio::test(flavor = "multi_thread")]
async fn many_changes_in_one_transaction_end_as_the_table_has_them() {
    let server = OpenSearchServer::start();
    let observers = example("search", &[("api_key_env", format!("engine = \"opensearch\"\n{PRIVATE}"))]);
    let shop = shop(&observers, &[("SEARCH_URL", server.url()), ("SEARCH_API_KEY", "unused")]).await;
    let host = shop.start_host();
    let changes = |id: u32| {
        let update = |n: u32| format!("UPDATE orders SET total = {n} WHERE id = {id};");
        let updates = (1..=30).map(update).collect::<Vec<_>>().concat();
        let again =
            format!("DELETE FROM orders WHERE id = {id}; INSERT INTO orders VALUES ({id}, 'again', 1);");
        format!("INSERT INTO orders VALUES ({id}, 'new', 0); {updates} {again} {updates}")
    };
    let gone = "INSERT INTO orders VALUES (4, 'new', 0); DELETE FROM orders WHERE id = 4;";
    shop.sql(&format!(
        "BEGIN; {} {} {} {gone} UPDATE orders SET status = 'last' WHERE id < 4; COMMIT",
        changes(1),
        changes(2),
        changes(3)
    ))
    .await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
    assert_eq!(found(&server, "status:last").await, ["order_1", "order_2", "order_3"]);
    assert_eq!(found(&server, "total:30").await, ["order_1", "order_2", "order_3"]);
    assert_eq!(found(&server, "*:*").await.len(), 3);
}

#[tokio::test]
async fn a_late_retry_never_overwrites_newer_data() {
    let server = OpenSearchServer::start();
    let written = json!({
        "index": "orders", "id_template": "order_{{entity_id}}", "url": server.url(), "engine": "opensearch",
        "grants": {"private_network": true},
    });
    let action = action("search", written, &[]).await;
    let run = async |kind: EventKind, at_secs: i64, status: &str| {
        let event = event(kind, at_secs, json!({"status": status}));
        details(&action.attempt(&event, Uuid::now_v7()).await)["result"].clone()
    };
    assert_eq!(run(EventKind::Updated, 101, "shipped").await, "indexed");
    assert_eq!(run(EventKind::Created, 100, "new").await, "superseded");
    assert_eq!(found(&server, "*:*").await, ["order_7"]);
    assert_eq!(found(&server, "status:new").await, [""; 0]);
    assert_eq!(run(EventKind::Updated, 101, "shipped").await, "indexed", "the same again");
    assert_eq!(run(EventKind::Deleted, 102, "shipped").await, "deleted");
    assert_eq!(run(EventKind::Deleted, 102, "shipped").await, "absent");
    assert_eq!(run(EventKind::Updated, 101, "shipped").await, "superseded");
    assert_eq!(found(&server, "*:*").await, [""; 0]);
}
