//! A connection over which nothing comes any more, and which nobody closes: a cable that was pulled, a firewall that
//! forgot. A host notices by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{database::PostgresDatabase, oracle::Oracle, proxy::Proxy, writers::Writers};
use crate::shop::{Shop, webhook};

const SOON: Duration = Duration::from_mins(1);

/// What one host owns at most.
const CAPACITY: usize = 16;

/// How long a host waits for an answer: `database.answer_timeout_ms`, as it is by default.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long nothing passes at all.
const STALL: Duration = Duration::from_secs(5);

const CONFIG: &str = "[intake]\nbatch_size = 16\n[dispatch]\nchannel_capacity = 16\nmax_concurrency = 8\nper_destination = 8\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_over_new_connections_when_the_old_ones_are_half_open() {
    let database = PostgresDatabase::shared().await;
    let proxy = Proxy::start(&database.cluster).await;
    let url = proxy.url(&database.name);
    let shop = Shop::on(database.reached_by(url), CONFIG).await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let oracle = Arc::new(Oracle::default());
    let mut host = shop.start_host();
    let writers = Writers::start(&shop, &oracle, 2, 0..200).await;
    shop.receiver.wait_for(20).await;

    proxy.stall();
    let stalled = Instant::now();
    sleep(STALL).await;
    proxy.pass_new();
    // What ran when nothing passed any more may still arrive.
    let before = shop.receiver.count() + CAPACITY;
    let goes_on = ANSWER_TIMEOUT + SOON;
    shop.receiver.wait_until(goes_on, |received| received.len() > before).await;
    let after = stalled.elapsed();
    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(host.runs() && host.stop(), "{}", shop.host_log());
    let account = oracle.check(&shop).await;
    println!("half open: goes on after {after:?}, {account:?}");
    assert!(account.duplicates <= CAPACITY, "{account:?}");
}
