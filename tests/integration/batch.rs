//! Batches as a real host runs them: far fewer requests, and each delivery with its own end.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::Duration,
};

use aftercommit_tests::{Answer, Received};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::{
    crash::{IMPATIENT, assert_all_told, kill_hosts_under_load},
    shop::{Database, SECRET, Shop, webhook},
};

const SOON: Duration = Duration::from_mins(1);

const FAST: &str = "retry = { max_attempts = 3, initial_delay_ms = 10, max_delay_ms = 20 }";

/// The elements of a request's array.
fn elements(request: &Received) -> Vec<Value> {
    serde_json::from_slice(&request.body).unwrap()
}

fn text(element: &Value, pointer: &str) -> String {
    element.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}

fn insert(ids: std::ops::RangeInclusive<u32>, status: &str) -> String {
    let rows: Vec<String> = ids.map(|id| format!("({id}, '{status}', 1)")).collect();
    format!("INSERT INTO orders VALUES {}", rows.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_need_far_fewer_requests_on_sqlite() {
    a_thousand_events_need_far_fewer_requests(Shop::open("").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_need_far_fewer_requests_on_postgres() {
    a_thousand_events_need_far_fewer_requests(Shop::on_postgres("").await).await;
}

async fn a_thousand_events_need_far_fewer_requests<D: Database>(shop: Shop<D>) {
    let signed =
        "batch = { max_items = 100, max_wait_ms = 1000 }\nsigning_secrets = [\"${secret:WEBHOOK_SECRET}\"]\n";
    shop.observe(&(webhook("batched", "", &shop.receiver.url("/hook")) + signed));
    let host = shop.start_host();
    shop.sql(&insert(1..=1000, "new")).await;
    let all =
        |requests: &[Received]| requests.iter().map(|request| elements(request).len()).sum::<usize>() >= 1000;
    let received = shop.receiver.wait_until(SOON, all).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    // Ten, if every one were full; a batch is cut short where intake takes less than a batch, or for a busy machine.
    assert!(received.len() <= 100, "{} requests", received.len());
    let mut ids = HashSet::new();
    let mut entities = HashSet::new();
    for request in &received {
        Webhook::new(SECRET).unwrap().verify(&request.body, &request.headers).unwrap();
        for element in elements(request) {
            ids.insert(text(&element, "/webhook_id"));
            entities.insert(text(&element, "/data/entity_id"));
        }
    }
    assert_eq!((ids.len(), entities.len()), (1000, 1000), "each exactly once");
    let succeeded = "SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded' AND http_status = 200";
    assert_eq!(shop.count(succeeded).await, 1000, "each has its own end");
    println!("1000 events in {} requests", received.len());
}

/// The receiver refuses whatever holds order 13, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn one_event_that_is_refused_takes_no_other_to_the_dead_letter_queue() {
    let shop = Shop::open("").await;
    let batch = "batch = { max_items = 50, max_wait_ms = 50 }\n";
    shop.observe(&(webhook("batched", FAST, &shop.receiver.url("/hook")) + batch));
    shop.receiver.respond(|request| {
        let poisoned = elements(request).iter().any(|element| text(element, "/data/entity_id") == "13");
        Answer::status(if poisoned { 400 } else { 200 })
    });
    let host = shop.start_host();
    shop.sql(&insert(1..=40, "new")).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let letters = shop.json(&["dlq", "list"]);
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters}");
    assert_eq!((letters[0]["attempts"].clone(), letters[0]["status"].clone()), (json!(3), json!("dead")));
    let received = shop.receiver.received();
    let alone = received.iter().map(elements).filter(|elements| elements.len() == 1);
    let alone: Vec<_> = alone.map(|elements| text(&elements[0], "/data/entity_id")).collect();
    assert!(alone.contains(&"13".to_owned()), "its last attempt was made alone: {alone:?}");
    let told: HashSet<_> = received
        .iter()
        .filter(|request| request.answered == 200)
        .flat_map(elements)
        .map(|element| text(&element, "/data/entity_id"))
        .collect();
    assert_eq!(told.len(), 39);
}

/// A component of someone else's, which traps when one of its rows says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_a_batch_is_the_end_of_who_made_it_only() {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/test/batch.wasm");
    let shop = Shop::open(&format!("[plugins.batch]\nsource = \"file:{}\"\n", guest.display())).await;
    shop.observe(&format!(
        "[[observers]]\nname = \"batched\"\n{FAST}\n[[observers.actions]]\ntype = \"batch\"\nanswer = \"{{{{status}}}}\"\n\
         batch = {{ max_items = 50, max_wait_ms = 50 }}\n"
    ));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (100, 'trap', 1), (101, 'permanent', 1)").await;
    shop.sql(&insert(1..=20, "done")).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let dead = |code: &str| format!("SELECT count(*) FROM observer_dlq_items WHERE code = '{code}'");
    assert_eq!(shop.count(&dead("plugin_trap")).await, 1, "{}", shop.host_log());
    assert_eq!(shop.count(&dead("told")).await, 1);
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 2);
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded'").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_entity_is_once_in_a_batch_and_in_order_where_that_is_asked_for() {
    let shop = Shop::open("").await;
    let batch = "batch = { max_items = 50, max_wait_ms = 20 }\n";
    let ordered = webhook("ordered", "ordering = \"per_entity\"", &shop.receiver.url("/hook"));
    shop.observe(&(ordered + batch));
    let host = shop.start_host();
    shop.sql(&insert(1..=20, "v0")).await;
    for version in 1..=5 {
        shop.sql(&format!("UPDATE orders SET status = 'v{version}'")).await;
    }
    shop.all_done(SOON).await;
    assert!(host.stop());
    let mut versions: HashMap<String, Vec<String>> = HashMap::new();
    for request in shop.receiver.received() {
        let elements = elements(&request);
        let entities: HashSet<_> = elements.iter().map(|element| text(element, "/data/entity_id")).collect();
        assert_eq!(entities.len(), elements.len(), "an entity is twice in a batch");
        for element in elements {
            let entity = text(&element, "/data/entity_id");
            versions.entry(entity).or_default().push(text(&element, "/data/data/status"));
        }
    }
    assert_eq!(versions.len(), 20);
    assert!(versions.values().all(|told| *told == ["v0", "v1", "v2", "v3", "v4", "v5"]), "{versions:?}");
    assert!(shop.receiver.count() < 120, "they were sent one by one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_gathered_and_not_started_is_handed_back_when_the_host_stops() {
    let shop = Shop::open("").await;
    let waiting = "batch = { max_items = 1000, max_wait_ms = 60000 }\n";
    shop.observe(&(webhook("batched", "", &shop.receiver.url("/hook")) + waiting));
    let host = shop.start_host();
    shop.sql(&insert(1..=5, "new")).await;
    shop.eventually(SOON, "they are gathered", async |shop| {
        shop.count("SELECT count(*) FROM observer_deliveries WHERE state = 'running'").await == 5
    })
    .await;
    assert!(host.stop());
    let left = shop.json(&["deliveries", "list"]);
    assert_eq!(left.as_array().unwrap().len(), 5);
    let unstarted = |delivery: &Value| delivery["status"] == "ready" && delivery["attempts"] == 0;
    assert!(left.as_array().unwrap().iter().all(unstarted), "{left}");
    assert_eq!(shop.receiver.count(), 0);
    assert!(!shop.host_log().contains("the grace time is over"), "{}", shop.host_log());
}

/// Batches that would wait a minute for more hold all the places that there are; then they wait no longer.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_wait_to_be_full_do_not_keep_places_from_others() {
    let shop = Shop::open("[dispatch]\nchannel_capacity = 100\n").await;
    let waiting = "batch = { max_items = 1000, max_wait_ms = 60000 }\n";
    let others =
        ["one", "two"].map(|name| webhook(name, "", &shop.receiver.url(&format!("/{name}"))) + waiting);
    shop.observe(&(others.concat() + &webhook("quick", "", &shop.receiver.url("/quick"))));
    let host = shop.start_host();
    shop.sql(&insert(1..=400, "new")).await;
    // Sooner than the first of those batches would start.
    let quick =
        |requests: &[Received]| requests.iter().filter(|request| request.path == "/quick").count() == 400;
    shop.receiver.wait_until(Duration::from_secs(45), quick).await;
    host.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_in_the_middle_of_batches_loses_nothing() {
    const ROWS: u32 = 2000;
    let shop = Shop::open(IMPATIENT).await;
    let batch = "batch = { max_items = 40, max_wait_ms = 30 }\n";
    shop.observe(&(webhook("batched", "", &shop.receiver.url("/hook")) + batch));
    kill_hosts_under_load(&shop, ROWS, 8).await;
    let told = shop.receiver.received();
    let told = told.iter().flat_map(elements);
    assert_all_told(
        ROWS,
        told.map(|element| (text(&element, "/data/entity_id"), text(&element, "/webhook_id"))),
    );
}
