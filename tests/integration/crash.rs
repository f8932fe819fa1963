//! kill -9 at any instant loses nothing.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{
    shop::{Shop, webhook},
    sqlite_file::SqliteFile,
};

/// How often the host is killed while the writer works.
const KILLS: usize = 20;
/// Rows that the writer commits in all.
const ROWS: u32 = 5000;

/// Hosts that follow a killed one do not wait for long.
pub(crate) const IMPATIENT: &str = "[dispatch]\nlease_timeout_ms = 1000\n";

/// Commits orders 1 to `rows`, ten at a time, while hosts are started and killed `kills` times; then one host works until all
/// is done, and stops.
pub(crate) async fn kill_hosts_under_load(shop: &Shop<SqliteFile>, rows: u32, kills: usize) {
    let connection = shop.database.connect();
    let writer = tokio::spawn(async move {
        for first in (1..=rows).step_by(10) {
            let orders: Vec<String> =
                (first..first + 10).map(|id| format!("({id}, 'pending', {id})")).collect();
            let statement = format!("INSERT INTO orders VALUES {}", orders.join(","));
            connection.execute_batch(&statement).expect("the rows are committed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    for _ in 0..kills {
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
}

/// That each of the orders 1 to `rows` was told, always with one id. `told` are (order, delivery's id), repeats and all.
pub(crate) fn assert_all_told(rows: u32, told: impl IntoIterator<Item = (String, String)>) {
    let mut ids: HashMap<String, HashSet<String>> = HashMap::new();
    for (order, id) in told {
        ids.entry(order).or_default().insert(id);
    }
    let missing: Vec<u32> = (1..=rows).filter(|id| !ids.contains_key(&id.to_string())).collect();
    assert!(missing.is_empty(), "never delivered: {missing:?}");
    assert!(ids.values().all(|ids| ids.len() == 1), "a repeated delivery had another id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_twenty_times_under_load_loses_nothing() {
    let shop = Shop::open(IMPATIENT).await;
    shop.observe(&webhook("order-created", "", &shop.receiver.url("/hook")));
    kill_hosts_under_load(&shop, ROWS, KILLS).await;
    let received = shop.receiver.received();
    let told = received.iter().map(|request| {
        let message: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let order = message["data"]["entity_id"].as_str().unwrap().to_owned();
        (order, request.header("webhook-id").to_owned())
    });
    assert_all_told(ROWS, told);
    let repeated = received.len() - usize::try_from(ROWS).unwrap();
    // At most what a host may own can be in flight at each kill.
    assert!(repeated <= 1000 * KILLS, "{repeated} were repeated");
    println!("{ROWS} events, {KILLS} kills, {repeated} delivered more than once");
}
