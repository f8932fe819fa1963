//! Sessions that several writers share, and statements of 1, some 50 and 2,000 rows in them, while hosts are killed.

use std::{sync::Arc, time::Duration};

use crate::{
    host_process::HostProcess,
    postgres::{oracle::Oracle, pooled_writers::PooledWriters},
    shop::{Shop, webhook},
};

const SEED: u64 = 20_260_101;

/// Rows of the largest statement.
const LARGEST: usize = 2000;

const SOON: Duration = Duration::from_mins(1);

/// What one host owns at most by default (`channel_capacity`), and so what its end may have made again.
const CAPACITY: usize = 1000;

/// The other host takes over soon, and all else is as by default, retries too.
const CONFIG: &str = "[dispatch]\nlease_timeout_ms = 2000\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pooled_sessions_with_statements_of_all_sizes_lose_invent_and_reorder_nothing() {
    let shop = Shop::on_postgres(CONFIG).await;
    shop.observe(&webhook("everything", "ordering = \"per_entity\"", &shop.receiver.url("/hook")));
    let oracle = Arc::new(Oracle::default());
    let hosts = [shop.start_host(), shop.start_host()];
    let writers = PooledWriters::start(&shop, &oracle, SEED, LARGEST).await;

    // The first dies in the middle of its work.
    shop.receiver.wait_for(500).await;
    let [first, second] = hosts;
    first.kill();
    let third = shop.start_host();
    writers.finish().await;
    shop.all_done(SOON).await;
    assert!([second, third].into_iter().all(HostProcess::stop), "{}", shop.host_log());

    let account = oracle.check(&shop).await;
    Oracle::check_numbered_in_order(&shop).await;
    Oracle::check_delivered_in_order(&shop).await;
    println!("{account:?}");
    assert!(account.committed > 2 * LARGEST, "several of the large statements are committed: {account:?}");
    assert_eq!(account.dead, 0, "nothing was refused");
    assert!(account.duplicates <= CAPACITY, "{account:?}");
}
