//! Connections that are cut, that nobody gets, and whose answers are lost: hosts go on without a restart.

use std::{sync::Arc, time::Duration};

use aftercommit_tests::Cluster;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, interval, sleep};

use super::{database::PostgresDatabase, oracle::Oracle, proxy::Proxy, writers::Writers};
use crate::shop::{Shop, webhook};

const SOON: Duration = Duration::from_mins(1);

/// What one host owns at most.
const CAPACITY: usize = 16;
const CONFIG: &str = "[intake]\nbatch_size = 16\n[dispatch]\nchannel_capacity = 16\nmax_concurrency = 8\nper_destination = 8\n";

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_every_second_lose_and_repeat_nothing() {
    const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'aftercommit' AND datname = current_database()";
    let shop = Shop::on_postgres(CONFIG).await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let oracle = Arc::new(Oracle::default());
    let mut host = shop.start_host();
    let writers = Writers::start(&shop, &oracle, 4, 0..100).await;
    let mut second = interval(Duration::from_secs(1));
    let mut cut = 0;
    for _ in 0..10 {
        second.tick().await;
        cut += shop.count(CUT).await;
    }
    assert!(cut >= 10, "{cut} connections were cut");
    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(host.runs() && host.stop(), "{}", shop.host_log());
    let account = oracle.check(&shop).await;
    println!("{cut} connections cut: {account:?}");
    assert_eq!(account.duplicates, 0, "nobody took the host for dead");
}

/// A server that has no connection left for anyone, for longer than a host waits for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_free_connections_is_waited_for() {
    let settings = [&Cluster::CARELESS[..], &["max_connections=20"]].concat();
    let cluster = Arc::new(Cluster::start_with(&settings));
    let shop = Shop::on(PostgresDatabase::create(&cluster).await, CONFIG).await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let oracle = Arc::new(Oracle::default());
    let mut host = shop.start_host();
    let writers = Writers::start(&shop, &oracle, 2, 0..100).await;
    shop.receiver.wait_for(10).await;

    // The host's connections end, and others take their places before it can.
    let since = Instant::now();
    let mut taken = Vec::new();
    while since.elapsed() < Duration::from_secs(8) {
        match PgConnection::connect(&cluster.url("postgres")).await {
            Ok(connection) => taken.push(connection),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
        if taken.len() < 19 {
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aftercommit'";
            let connection = taken.last_mut();
            if let Some(connection) = connection {
                sqlx::raw_sql(cut).execute(connection).await.unwrap();
            }
        }
    }
    shop.eventually(SOON, "the log says what is missing", async |shop| {
        shop.host_log().contains("max_connections")
    })
    .await;
    for connection in taken {
        connection.close().await.unwrap();
    }
    let before = shop.receiver.count();
    shop.receiver.wait_until(SOON, |received| received.len() >= before + 50).await;
    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(host.runs() && host.stop(), "{}", shop.host_log());
    println!("{:?}", oracle.check(&shop).await);
}

/// The commit is done and nobody knows: neither what a host took nor what it ended may stay behind, for as long as it
/// lives.
#[tokio::test(flavor = "multi_thread")]
async fn answers_to_commits_that_are_lost_leave_nothing_behind() {
    const LOST: usize = 30;
    let database = PostgresDatabase::shared().await;
    let proxy = Proxy::start(&database.cluster).await;
    let url = proxy.url(&database.name);
    let shop = Shop::on(database.reached_by(url), CONFIG).await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let oracle = Arc::new(Oracle::default());
    let mut host = shop.start_host();
    let writers = Writers::start(&shop, &oracle, 4, 0..100).await;
    shop.receiver.wait_for(10).await;
    proxy.lose_answers_to_commits(LOST);
    shop.eventually(SOON, "the answers are lost", async |_| proxy.answers_to_lose() == 0).await;
    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(host.runs() && host.stop(), "{}", shop.host_log());
    let account = oracle.check(&shop).await;
    println!("{LOST} answers to commits lost: {account:?}");
    assert!(account.duplicates <= LOST * CAPACITY, "{account:?}");
}

/// The whole program through `PgBouncer`: sessions are its own, and what it sets at their start is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_of_sessions_needs_no_setting() {
    let database = PostgresDatabase::shared().await;
    let settings = "pool_mode = session\ndefault_pool_size = 20\nignore_startup_parameters = extra_float_digits,options\n";
    let is_there = database.cluster.start_pooler(7101, settings);
    let url = database.cluster.url(&database.name);
    let way = if is_there { format!("{url}&port=7101") } else { url };
    let shop = Shop::on(database.reached_by(way), CONFIG).await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let oracle = Arc::new(Oracle::default());
    let host = shop.start_host();
    let writers = Writers::start(&shop, &oracle, 2, 0..100).await;
    shop.receiver.wait_for(50).await;
    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(host.stop(), "{}", shop.host_log());
    println!("{:?}", oracle.check(&shop).await);
}
