//! Transactions that commit in another order than they began: none is skipped, none waits for another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::Executor as _;

use super::{
    oracle::{Oracle, change, of_body},
    writers::Writers,
};
use crate::shop::{Shop, webhook};

/// How long one transaction stays open while the others come and go.
const OPEN: Duration = Duration::from_mins(1);

/// A key that no writer reaches.
const LATE: i64 = 1_000_000;

const SOON: Duration = Duration::from_mins(1);

/// Half of all changes are told within this time of their commit, and all within ten times as much: on a busy machine
/// it is far more than it takes, and far less than what a transaction that waited for another would need.
const TYPICAL: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_skipped_and_a_transaction_open_for_a_minute_delays_only_itself() {
    let shop = Shop::on_postgres("").await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/hook")));
    let hosts = [shop.start_host(), shop.start_host()];
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&shop, &oracle, 8, 0..2000).await;

    let mut late = shop.database.connect().await.unwrap();
    late.execute("BEGIN").await.unwrap();
    let insert = format!("INSERT INTO orders VALUES ({LATE}, 'late', 1), ({}, 'late', 1)", LATE + 1);
    late.execute(sqlx::AssertSqlSafe(insert)).await.unwrap();
    tokio::time::sleep(OPEN).await;
    let late_changes = vec![change("created", LATE, "late"), change("created", LATE + 1, "late")];
    let told = |at: Instant| {
        let received = shop.receiver.received();
        received
            .iter()
            .filter(|request| request.at < at && late_changes.contains(&of_body(&request.body)))
            .count()
    };
    assert_eq!(told(Instant::now()), 0, "it was told before its commit");
    late.execute("COMMIT").await.unwrap();
    let committed = Instant::now();
    oracle.committed(late_changes.clone());
    shop.eventually(SOON, "the late transaction is told", async |_| told(Instant::now()) == 2).await;
    let after = committed.elapsed();

    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(hosts.into_iter().all(crate::host_process::HostProcess::stop));
    let account = oracle.check(&shop).await;
    assert_eq!(account.duplicates, 0, "{account:?}");
    let latencies = oracle.latencies(&shop.receiver.received());
    let (half, all) = (latencies[latencies.len() / 2], latencies[latencies.len() - 1]);
    println!("{account:?}; told after {half:?}, at most {all:?}; after a minute's transaction {after:?}");
    assert!(half <= TYPICAL && all <= 10 * TYPICAL, "{half:?} and at most {all:?}");
}
