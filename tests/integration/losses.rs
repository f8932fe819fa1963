//! Hosts that die: what was never sent is never given up, and what kills its host is. With the default retry policy.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use aftercommit_tests::{Answer, Received};

use crate::{
    crash::{IMPATIENT, assert_all_told},
    postgres::PostgresDatabase,
    shop::{Database, Shop, webhook},
    sqlite_file::SqliteFile,
};

const SOON: Duration = Duration::from_mins(2);

fn order(request: &Received) -> String {
    let message: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    message["data"]["entity_id"].as_str().unwrap().to_owned()
}

fn told(requests: &[Received]) -> impl Iterator<Item = (String, String)> {
    requests.iter().map(|request| (order(request), request.header("webhook-id").to_owned()))
}

fn orders(rows: u32) -> String {
    let rows: Vec<String> = (1..=rows).map(|id| format!("({id}, 'new', {id})")).collect();
    format!("INSERT INTO orders VALUES {}", rows.join(","))
}

async fn dead<D: Database>(shop: &Shop<D>) -> i64 {
    shop.count("SELECT count(*) FROM observer_dlq_items").await
}

/// A slow receiver, and hosts that die while they own all of it and have begun some.
async fn kills_cost_no_attempt_of_what_was_not_sent<D: Database>(shop: Shop<D>) {
    const ROWS: u32 = 400;
    shop.observe(&webhook("orders", "", &shop.receiver.url("/")));
    shop.receiver.respond(|_| Answer { after: Duration::from_millis(200), ..Answer::status(200) });
    shop.sql(&orders(ROWS)).await;
    for kill in 1..=6 {
        let host = shop.start_host();
        let before = shop.receiver.count();
        shop.receiver.wait_until(SOON, |received| received.len() > before + kill).await;
        host.kill();
    }
    let host = shop.start_host();
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(dead(&shop).await, 0);
    assert_all_told(ROWS, told(&shop.receiver.received()));
    let counted =
        "SELECT count(*) FROM tb_observer_log WHERE status = 'lost' AND message LIKE '%so it counts%'";
    println!(
        "{} requests for {ROWS} orders, {} losses counted",
        shop.receiver.count(),
        shop.count(counted).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_cost_no_attempt_of_what_was_not_sent_on_sqlite() {
    kills_cost_no_attempt_of_what_was_not_sent(Shop::<SqliteFile>::open(IMPATIENT).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_cost_no_attempt_of_what_was_not_sent_on_postgresql() {
    kills_cost_no_attempt_of_what_was_not_sent(Shop::<PostgresDatabase>::on_postgres(IMPATIENT).await).await;
}

/// Each host is killed as soon as it owns something.
async fn twenty_crashes_in_a_row_lose_nothing<D: Database>(shop: Shop<D>) {
    const ROWS: u32 = 30;
    const OWNED: &str = "SELECT count(*) FROM observer_deliveries WHERE state = 'running'
        AND owner = (SELECT id FROM observer_hosts ORDER BY started_at DESC LIMIT 1)";
    shop.observe(&webhook("orders", "", &shop.receiver.url("/")));
    shop.receiver.respond(|_| Answer { after: Duration::from_mins(1), ..Answer::status(200) });
    shop.sql(&orders(ROWS)).await;
    for _ in 0..20 {
        let host = shop.start_host();
        shop.eventually(SOON, "it owns something", async |shop| {
            shop.database.ask(OWNED).await.is_ok_and(|owned| owned.as_deref() != Some("0"))
        })
        .await;
        host.kill();
    }
    let sent: HashSet<String> = shop.receiver.received().iter().map(order).collect();
    shop.receiver.respond(|_| Answer::status(200));
    let host = shop.start_host();
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(dead(&shop).await, 0);
    assert_all_told(ROWS, told(&shop.receiver.received()));
    println!("{} of {ROWS} were sent before the last host", sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_crashes_in_a_row_lose_nothing_on_sqlite() {
    twenty_crashes_in_a_row_lose_nothing(Shop::<SqliteFile>::open(IMPATIENT).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_crashes_in_a_row_lose_nothing_on_postgresql() {
    twenty_crashes_in_a_row_lose_nothing(Shop::<PostgresDatabase>::on_postgres(IMPATIENT).await).await;
}

/// One order kills each host that sends it.
async fn a_delivery_that_kills_its_host_is_found_and_takes_no_other_with_it<D: Database>(
    shop: Shop<D>,
    more: &str,
) {
    const ROWS: u32 = 60;
    const POISON: &str = "17";
    shop.observe(&(webhook("orders", "", &shop.receiver.url("/")) + more));
    let arrived = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&arrived);
    shop.receiver.respond(move |request| {
        let bodies = String::from_utf8_lossy(&request.body);
        let is_poison = bodies.contains(&format!("\"entity_id\":\"{POISON}\""));
        seen.fetch_or(is_poison, Relaxed);
        // Its host is dead before the answer.
        Answer { after: Duration::from_secs(if is_poison { 60 } else { 0 }), ..Answer::status(200) }
    });
    shop.sql(&orders(ROWS)).await;
    let mut kills = 0;
    loop {
        let host = shop.start_host();
        shop.eventually(SOON, "it is sent, or all is done", async |shop| {
            const LEFT: &str =
                "SELECT (SELECT count(*) FROM observer_inbox) + (SELECT count(*) FROM observer_deliveries)";
            arrived.load(Relaxed)
                || shop.database.ask(LEFT).await.is_ok_and(|left| left.as_deref() == Some("0"))
        })
        .await;
        if !arrived.swap(false, Relaxed) {
            assert!(host.stop());
            break;
        }
        host.kill();
        kills += 1;
    }
    assert_eq!(kills, 5, "owned among all, tried with a few, and alone three times");
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items WHERE code = 'host_lost'").await, 1);
    assert_eq!(dead(&shop).await, 1, "no other is dead");
    let letters = shop.json(&["dlq", "list"]);
    let error = letters[0]["last_error"].as_str().unwrap();
    assert!(
        error.contains("5 hosts in a row died while they owned it, 3 of them while it ran alone"),
        "{error}"
    );
    let log = shop.host_log();
    assert!(log.contains("tries with care") && log.contains("runs alone"), "{log}");
    let succeeded = "SELECT count(DISTINCT delivery_id) FROM tb_observer_log WHERE status = 'succeeded'";
    assert_eq!(shop.count(succeeded).await, i64::from(ROWS) - 1, "the others are delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_kills_its_host_is_found_on_sqlite() {
    let shop = Shop::<SqliteFile>::open(IMPATIENT).await;
    a_delivery_that_kills_its_host_is_found_and_takes_no_other_with_it(shop, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_kills_its_host_is_found_on_postgresql() {
    let shop = Shop::<PostgresDatabase>::on_postgres(IMPATIENT).await;
    a_delivery_that_kills_its_host_is_found_and_takes_no_other_with_it(shop, "").await;
}

/// The batch is taken apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_kills_its_host_is_found_in_a_batch() {
    let shop = Shop::<SqliteFile>::open(IMPATIENT).await;
    let batch = "batch = { max_items = 40, max_wait_ms = 30 }\n";
    a_delivery_that_kills_its_host_is_found_and_takes_no_other_with_it(shop, batch).await;
}
