//! One entity with many events: hosts run ahead of what they have written, and still keep its order when they are killed.
//! With the default retry policy.

use std::time::Duration;

use aftercommit_tests::{Answer, Received};
use serde_json::Value;

use crate::{
    crash::IMPATIENT,
    postgres::PostgresDatabase,
    shop::{Database, Shop, webhook},
    sqlite_file::SqliteFile,
};

const SOON: Duration = Duration::from_mins(2);
const HOT: &str = "1";

fn data(request: &Received) -> Value {
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    message["data"].clone()
}

/// Which versions of an order were sent, in order of arrival.
fn versions(received: &[Received], order: &str) -> Vec<u32> {
    let of_order = received.iter().map(data).filter(|data| data["entity_id"] == order);
    of_order.map(|data| data["data"]["status"].as_str().unwrap()[1..].parse().unwrap()).collect()
}

/// Each version of one order follows the one before it. Where a host was killed, what it owned follows once more, from some version on.
fn assert_in_order(versions: &[u32], last: u32, kills: usize) {
    let steps_back = versions.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect::<Vec<_>>();
    assert!(steps_back.iter().all(|pair| pair[1] <= pair[0]), "one was passed over: {steps_back:?}");
    assert!(steps_back.len() <= kills, "{} steps back with {kills} kills: {steps_back:?}", steps_back.len());
    assert_eq!((versions.first(), versions.last()), (Some(&0), Some(&last)));
}

/// Orders are updated while hosts that deliver them are killed.
async fn a_hot_entity_keeps_its_order_when_hosts_are_killed<D: Database>(shop: Shop<D>) {
    const UPDATES: u32 = 1_500;
    const KILLS: usize = 5;
    shop.observe(&webhook("ordered", "ordering = \"per_entity\"", &shop.receiver.url("/")));
    shop.sql("INSERT INTO orders VALUES (1, 'v0', 5), (2, 'v0', 5), (3, 'v0', 5)").await;
    let update = |version: u32, orders: &str| {
        format!("UPDATE orders SET status = 'v{version}' WHERE id IN ({orders});")
    };
    for first in (1..=UPDATES).step_by(100) {
        let updates: String = (first..first + 100).map(|version| update(version, HOT)).collect();
        shop.sql(&updates).await;
    }
    for kill in 1..=KILLS {
        let host = shop.start_host();
        let before = shop.receiver.count();
        let enough = before + 40 * kill;
        shop.receiver.wait_until(SOON, |received| received.len() > enough).await;
        host.kill();
    }
    let host = shop.start_host();
    for version in 1..=5 {
        shop.sql(&update(version, "2, 3")).await;
    }
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
    let received = shop.receiver.received();
    let all = versions(&received, HOT);
    assert_in_order(&all, UPDATES, KILLS);
    for order in ["2", "3"] {
        assert_in_order(&versions(&received, order), 5, KILLS);
    }
    let counted =
        "SELECT count(*) FROM tb_observer_log WHERE status = 'lost' AND message LIKE '%so it counts%'";
    assert_eq!(shop.count(counted).await, 0, "no attempt counts of which nobody knows whether it began");
    println!("{} requests for {} versions, {KILLS} kills", all.len(), UPDATES + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_entity_keeps_its_order_when_hosts_are_killed_on_sqlite() {
    a_hot_entity_keeps_its_order_when_hosts_are_killed(Shop::<SqliteFile>::open(IMPATIENT).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_entity_keeps_its_order_when_hosts_are_killed_on_postgresql() {
    a_hot_entity_keeps_its_order_when_hosts_are_killed(
        Shop::<PostgresDatabase>::on_postgres(IMPATIENT).await,
    )
    .await;
}

/// Some versions are refused at first: those behind them wait, and cost no attempt. Two hosts, and a stop in the middle.
async fn one_that_fails_holds_up_the_rest_of_its_run<D: Database>(shop: Shop<D>) {
    const UPDATES: u32 = 300;
    let more =
        "ordering = \"per_entity\"\nretry = { max_attempts = 3, initial_delay_ms = 20, max_delay_ms = 20 }";
    shop.observe(&webhook("ordered", more, &shop.receiver.url("/")));
    let refused = std::sync::Mutex::new(std::collections::HashSet::new());
    shop.receiver.respond(move |request| {
        let status = data(request)["data"]["status"].as_str().unwrap().to_owned();
        let is_refused = status.ends_with("50") && refused.lock().unwrap().insert(status);
        Answer::status(if is_refused { 503 } else { 200 })
    });
    shop.sql("INSERT INTO orders VALUES (1, 'v0', 5)").await;
    let updates: Vec<String> = (1..=UPDATES)
        .map(|version| format!("UPDATE orders SET status = 'v{version}' WHERE id = 1"))
        .collect();
    shop.sql(&updates.join(";")).await;
    let first = shop.start_host();
    shop.receiver.wait_until(SOON, |received| received.len() > 100).await;
    let second = shop.start_host();
    assert!(first.stop());
    shop.all_done(SOON).await;
    assert!(second.stop());
    let received = shop.receiver.received();
    let mut expected: Vec<u32> = (0..=UPDATES).collect();
    expected.extend([50, 150, 250]);
    expected.sort_unstable();
    assert_eq!(versions(&received, HOT), expected);
    let twice = "SELECT count(*) FROM tb_observer_log WHERE attempt > 1";
    assert_eq!(shop.count(twice).await, 3, "only what was refused was tried twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_holds_up_the_rest_of_its_run_on_sqlite() {
    one_that_fails_holds_up_the_rest_of_its_run(Shop::<SqliteFile>::open("").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_holds_up_the_rest_of_its_run_on_postgresql() {
    one_that_fails_holds_up_the_rest_of_its_run(Shop::<PostgresDatabase>::on_postgres("").await).await;
}
