//! Several hosts share one database: work, order, takeover, reload.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use aftercommit_tests::{Answer, Received, Receiver};
use serde_json::Value;

use super::database::PostgresDatabase;
use crate::{
    host_process::HostProcess,
    shop::{Shop, webhook},
};

const SOON: Duration = Duration::from_mins(1);

/// Each request says which host sent it.
pub(super) fn signed_by_host(name: &str, more: &str, url: &str) -> String {
    webhook(name, more, url) + "headers = { x-host = \"${secret:HOST_NAME}\" }\n"
}

fn rows(keys: std::ops::Range<u32>) -> String {
    let rows: Vec<String> = keys.map(|key| format!("({key}, 'pending', 1)")).collect();
    format!("INSERT INTO orders VALUES {}", rows.join(","))
}

fn slow(after_ms: u64) -> Answer {
    Answer { after: Duration::from_millis(after_ms), ..Answer::status(200) }
}

fn entity(request: &Received) -> String {
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    message["data"]["entity_id"].as_str().unwrap().to_owned()
}

fn status(request: &Received) -> String {
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    message["data"]["data"]["status"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_that_fails_holds_up_only_itself_and_keeps_its_order_across_hosts() {
    // Neither host has room for all of it.
    let config = "[dispatch]\nchannel_capacity = 4\nmax_concurrency = 4\nper_destination = 4\n";
    let shop = Shop::on_postgres(config).await;
    let retry = "retry = { max_attempts = 100, initial_delay_ms = 20, max_delay_ms = 100 }";
    let more = format!("ordering = \"per_entity\"\n{retry}");
    shop.observe(&signed_by_host("ordered", &more, &shop.receiver.url("/ordered")));
    shop.receiver.respond(|request| if entity(request) == "1" { Answer::status(503) } else { slow(20) });
    let hosts = [shop.start_host_as("a"), shop.start_host_as("b")];
    shop.sql("INSERT INTO orders SELECT id, 'v0', 1 FROM generate_series(1, 20) AS id").await;
    for version in 1..=5 {
        shop.sql(&format!("UPDATE orders SET status = 'v{version}'")).await;
    }
    let taken = |received: &[Received]| received.iter().filter(|request| request.answered == 200).count();
    let first = shop.receiver.wait_until(SOON, |received| taken(received) >= 19 * 6).await;
    assert!(
        first.iter().all(|request| entity(request) != "1" || status(request) == "v0"),
        "it was overtaken"
    );
    shop.receiver.respond(|_| Answer::status(200));
    let received = shop.receiver.wait_until(SOON, |received| taken(received) >= 20 * 6).await;
    shop.all_done(SOON).await;
    assert!(hosts.into_iter().all(HostProcess::stop));

    let versions: Vec<String> = (0..=5).map(|version| format!("v{version}")).collect();
    for key in 1..=20 {
        let of_entity =
            received.iter().filter(|request| request.answered == 200 && entity(request) == key.to_string());
        assert_eq!(of_entity.map(status).collect::<Vec<_>>(), versions, "entity {key}");
    }
    let by: HashSet<&str> = received.iter().map(|request| request.header("x-host")).collect();
    assert_eq!(by.len(), 2, "only {by:?} delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_nothing_to_do_takes_what_waits_for_another() {
    let config = "[dispatch]\nchannel_capacity = 2\nmax_concurrency = 2\nper_destination = 2\n";
    let shop = Shop::on_postgres(config).await;
    shop.observe(&signed_by_host("slow", "", &shop.receiver.url("/slow")));
    shop.receiver.respond(|_| slow(200));
    let busy = shop.start_host_as("busy");
    shop.sql(&rows(1..61)).await;
    shop.receiver.wait_for(2).await;
    let idle = shop.start_host_as("idle");
    let received = shop.receiver.wait_for(60).await;
    shop.all_done(SOON).await;
    assert!(busy.stop() && idle.stop());
    let by_idle = received.iter().filter(|request| request.header("x-host") == "idle").count();
    assert!(by_idle >= 10, "the second host delivered {by_idle} of 60");
    assert_eq!(shop.receiver.count(), 60, "nothing was delivered twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_destination_keeps_no_host_from_the_others() {
    let shop = Shop::on_postgres("").await;
    let hanging = Receiver::start().await;
    // Not given up before the test ends, so that what was sent at all was sent at once.
    hanging.respond(|_| slow(120_000));
    let both = signed_by_host("hanging", "", &hanging.url("/"))
        + "timeout_ms = 120000\n"
        + &signed_by_host("quick", "", &shop.receiver.url("/"));
    shop.observe(&both);
    let hosts = [shop.start_host_as("a"), shop.start_host_as("b")];
    // First enough to fill the hanging destination's share of both hosts.
    shop.sql(&rows(1..1001)).await;
    shop.receiver.wait_for(1000).await;
    shop.sql(&rows(1001..2001)).await;
    shop.receiver.wait_for(2000).await;
    assert!(hanging.count() <= 2 * 16, "more than per_destination of each host: {}", hanging.count());
    hosts.into_iter().for_each(HostProcess::kill);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_dead_host_is_taken_over_after_its_lease_and_not_before() {
    const LEASE: Duration = Duration::from_secs(3);
    let shop = Shop::on_postgres("[dispatch]\nlease_timeout_ms = 3000\n").await;
    shop.observe(&signed_by_host("orders", "", &shop.receiver.url("/")));
    shop.receiver.respond(|request| slow(if request.header("x-host") == "dies" { 60_000 } else { 0 }));
    let dies = shop.start_host_as("dies");
    shop.sql(&rows(1..11)).await;
    let first = shop.receiver.wait_for(10).await;
    let lives = shop.start_host_as("lives");
    let since = Instant::now();
    dies.kill();
    let received = shop.receiver.wait_for(20).await;
    shop.all_done(SOON).await;
    assert!(lives.stop());

    // Its last heartbeat was up to a third of the lease before its death.
    let earliest = received[10].at.saturating_duration_since(since);
    assert!(earliest >= LEASE / 2, "taken over after {earliest:?}");
    let ids = |requests: &[Received]| -> HashSet<String> {
        requests.iter().map(|request| request.header("webhook-id").to_owned()).collect()
    };
    assert_eq!(ids(&first), ids(&received[10..]), "the same deliveries with the same ids");
    assert_eq!(
        shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'lost' AND attempt = 1").await,
        10
    );
    assert_eq!(
        shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded' AND attempt = 2").await,
        10
    );
    assert_eq!(shop.count("SELECT count(*) FROM observer_hosts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_stop_leave_their_work_to_the_others_at_once() {
    let config = "[dispatch]\nmax_concurrency = 2\nper_destination = 2\nlease_timeout_ms = 60000\n";
    let shop = Shop::on_postgres(config).await;
    shop.observe(&signed_by_host("orders", "", &shop.receiver.url("/")));
    shop.receiver.respond(|request| slow(if request.header("x-host") == "stops" { 500 } else { 0 }));
    let stops = shop.start_host_as("stops");
    shop.sql(&rows(1..201)).await;
    shop.receiver.wait_for(2).await;
    let stays = shop.start_host_as("stays");
    assert!(stops.stop());
    let received = shop.receiver.wait_for(200).await;
    shop.all_done(SOON).await;
    assert!(stays.stop());
    assert_eq!(received.len(), 200, "nothing was delivered twice");
    assert_eq!(
        shop.count("SELECT count(*) FROM tb_observer_log WHERE attempt <> 1").await,
        0,
        "nothing was lost"
    );
}

/// How long until what follows a change of the observers is there.
async fn reloaded(shop: &Shop<PostgresDatabase>, loads: usize) -> Duration {
    let since = Instant::now();
    shop.eventually(SOON, "the hosts have reloaded", async |shop| {
        shop.host_log().matches("observers loaded").count() >= loads
    })
    .await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_hear_of_changed_observers_long_before_they_look() {
    let shop = Shop::on_postgres("").await;
    shop.observe(&webhook("orders", "", &shop.receiver.url("/one")));
    let hosts = [shop.start_host(), shop.start_host()];
    shop.observe(&webhook("orders", "", &shop.receiver.url("/two")));
    // `reload_interval_secs` is 60.
    let took = reloaded(&shop, 4).await;
    assert!(took < Duration::from_secs(10), "heard after {took:?}");
    shop.sql(&rows(1..11)).await;
    assert!(shop.receiver.wait_for(10).await.iter().all(|request| request.path == "/two"));
    assert!(hosts.into_iter().all(HostProcess::stop));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_the_poll_finds_what_was_committed() {
    let database = PostgresDatabase::shared().await;
    let shop = Shop::unmigrated(tempfile::tempdir().unwrap(), database, "").await;
    shop.run(&["migrate"]);
    shop.capture("orders", "Order", &["--no-notify"]);
    shop.observe(&webhook("orders", "", &shop.receiver.url("/")));
    let mut bell =
        sqlx::postgres::PgListener::connect(&shop.database.cluster.url(&shop.database.name)).await.unwrap();
    bell.listen("observer_inbox").await.unwrap();
    let host = shop.start_host();
    for key in 1..6 {
        shop.sql(&rows(key..key + 1)).await;
        shop.receiver.wait_for(key as usize).await;
    }
    assert!(host.stop());
    // Whatever was sent before this is here before this.
    shop.sql("NOTIFY observer_inbox, 'last'").await;
    assert_eq!(bell.recv().await.unwrap().payload(), "last", "a commit rang");
}
