//! kill -9 at any instant loses nothing.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::shop::{Shop, webhook};

/// How often the host is killed while the writer works.
const KILLS: u32 = 20;
/// Rows that the writer commits in all.
const ROWS: i64 = 5000;
/// Rows in one of its transactions.
const ROWS_A_TRANSACTION: i64 = 10;

const CONFIG: &str = "[dispatch]\nlease_timeout_ms = 1000\n";

const PATIENT: &str = "retry = { max_attempts = 50, initial_delay_ms = 10, max_delay_ms = 100 }";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_twenty_times_under_load_loses_nothing() {
    let shop = Shop::open(CONFIG).await;
    shop.observe(&webhook("order-created", PATIENT, &shop.receiver.url("/hook")));
    let connection = shop.database.connect();
    let writer = tokio::spawn(async move {
        for first in (1..=ROWS).step_by(usize::try_from(ROWS_A_TRANSACTION).unwrap()) {
            let rows: Vec<String> =
                (first..first + ROWS_A_TRANSACTION).map(|id| format!("({id}, 'pending', {id})")).collect();
            let statement = format!("INSERT INTO orders VALUES {}", rows.join(","));
            connection.execute_batch(&statement).expect("the row is committed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });

    for _ in 0..KILLS {
        let host = shop.start_host();
        // Random, so that every instant is hit some day; there is nothing to wait for.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..400))).await;
        host.kill();
    }
    writer.await.expect("the writer came to its end");

    let host = shop.start_host();
    shop.all_done(Duration::from_mins(2)).await;
    assert!(host.stop());

    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
    assert_eq!(shop.count("SELECT count(*) FROM observer_hosts").await, 0, "no host is left behind");
    let mut ids: HashMap<String, HashSet<String>> = HashMap::new();
    for request in shop.receiver.received() {
        let message: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let entity = message["data"]["entity_id"].as_str().unwrap().to_owned();
        ids.entry(entity).or_default().insert(request.header("webhook-id").to_owned());
    }
    let missing: Vec<i64> = (1..=ROWS).filter(|id| !ids.contains_key(&id.to_string())).collect();
    assert!(missing.is_empty(), "never delivered: {missing:?}");
    assert!(ids.values().all(|ids| ids.len() == 1), "a repeated delivery had another id");
    let duplicates = shop.receiver.count() - ids.len();
    // At most what a host may own can be in flight at each kill.
    assert!(duplicates <= 1000 * usize::try_from(KILLS).unwrap(), "{duplicates} duplicates");
    println!("{ROWS} events, {KILLS} kills, {duplicates} delivered more than once");
}
