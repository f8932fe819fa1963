//! Several hosts share a destination: together they keep its rate, and its failures are not multiplied by their number.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use aftercommit_tests::{Answer, Received, Receiver};

use super::{database::PostgresDatabase, hosts::signed_by_host};
use crate::{
    destinations::{BRIEF, IMPATIENT, LATER_SECS, listed, order, set_rate, taken},
    host_process::HostProcess,
    shop::{Shop, webhook},
};

const SOON: Duration = Duration::from_mins(1);

/// Requests a second, of all hosts together.
const RATE: usize = 20;

/// Long against what a busy machine delays a request by, which makes the next ones seem too early.
const WINDOW: Duration = Duration::from_secs(4);

/// The most requests that came within [`WINDOW`].
fn busiest(received: &[Received]) -> usize {
    let at: Vec<Instant> = received.iter().map(|request| request.at).collect();
    let within = |first: &Instant| at.iter().filter(|at| *at >= first && **at - *first < WINDOW).count();
    at.iter().map(within).max().unwrap_or_default()
}

/// Half as many again as the rate allows: hosts that do not share it send twice as many.
fn assert_rate_was_kept(received: &[Received]) {
    let allowed = RATE * usize::try_from(WINDOW.as_secs()).unwrap();
    let busiest = busiest(received);
    println!("{busiest} requests within {WINDOW:?}, {allowed} are allowed");
    assert!(busiest <= allowed * 3 / 2, "{busiest} requests within {WINDOW:?}, {allowed} are allowed");
}

fn hosts_of(received: &[Received]) -> HashSet<&str> {
    received.iter().map(|request| request.header("x-host")).collect()
}

async fn rated(config: &str) -> Shop<PostgresDatabase> {
    let shop = Shop::on_postgres(config).await;
    set_rate(&shop, RATE);
    shop.observe(&signed_by_host("rated", "", &shop.receiver.url("/")));
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_keep_one_rate_together() {
    const ORDERS: usize = 160;
    let shop = rated("").await;
    let hosts = [shop.start_host_as("a"), shop.start_host_as("b")];
    order(&shop, 0..u32::try_from(ORDERS).unwrap()).await;
    shop.all_done(SOON).await;
    assert!(hosts.into_iter().all(HostProcess::stop));
    let received = shop.receiver.received();
    assert_eq!((received.len(), hosts_of(&received).len()), (ORDERS, 2), "each once, by both");
    assert_rate_was_kept(&received);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_kept_while_a_host_is_killed_and_another_comes() {
    const ORDERS: usize = 240;
    let shop = rated("[dispatch]\nlease_timeout_ms = 2000\n").await;
    let (dies, stays) = (shop.start_host_as("dies"), shop.start_host_as("stays"));
    order(&shop, 0..u32::try_from(ORDERS).unwrap()).await;
    shop.receiver.wait_for(ORDERS / 3).await;
    dies.kill();
    let comes = shop.start_host_as("comes");
    shop.all_done(SOON).await;
    assert!(stays.stop() && comes.stop());
    let received = shop.receiver.received();
    let told: HashSet<&str> = received.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!((told.len(), hosts_of(&received).len()), (ORDERS, 3), "all of them, by all hosts");
    assert_rate_was_kept(&received);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_two_hosts_is_probed_by_each_no_more_than_by_one() {
    const HOSTS: usize = 2;
    const ORDERS: usize = 100;
    // Neither host has room for all of it.
    let config = "[dispatch]\nchannel_capacity = 16\nmax_concurrency = 8\nper_destination = 8\nbreaker_failures = 3\n\
                  breaker_open_ms = 100\nbreaker_max_open_ms = 2000\n";
    let shop = Shop::on_postgres(config).await;
    shop.observe(&signed_by_host("flaky", IMPATIENT, &shop.receiver.url("/")));
    // Long enough that neither hears of the other's failure before it has sent something itself.
    shop.receiver.respond(|_| Answer { after: Duration::from_millis(50), ..Answer::status(503) });
    let hosts = [shop.start_host_as("a"), shop.start_host_as("b")];
    order(&shop, 0..u32::try_from(ORDERS).unwrap()).await;
    shop.receiver.wait_until(SOON, |received| hosts_of(received).len() == HOSTS).await;
    listed(&shop, "it was tried some times", |held| held[0]["openings"].as_u64() >= Some(5)).await;
    let failed = shop.receiver.count();
    let openings = shop.json(&["destinations", "list"])[0]["openings"].as_u64().unwrap();
    // Of each host as many as were under way until its third failed, and a probe each time.
    let most = HOSTS * (3 + 8 + usize::try_from(openings).unwrap() + 1);
    println!("{failed} requests in {openings} openings, {most} are allowed");
    assert!(failed <= most, "{failed} requests while it was left alone, with {openings} openings");

    shop.receiver.respond(|_| Answer::status(200));
    shop.all_done(SOON).await;
    assert!(hosts.into_iter().all(HostProcess::stop));
    let received = shop.receiver.received();
    assert_eq!(taken(&received).len(), ORDERS, "each was taken once");
    let attempts = shop.count("SELECT count(*) FROM tb_observer_log").await;
    assert_eq!(usize::try_from(attempts).unwrap(), received.len(), "an attempt is a request");
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_tell_each_other_what_is_held_back() {
    let shop = Shop::on_postgres("").await;
    let other = Receiver::start().await;
    shop.observe(&(webhook("busy", BRIEF, &shop.receiver.url("/")) + &webhook("other", "", &other.url("/"))));
    shop.receiver.respond(|_| Answer::status(429).header("retry-after", LATER_SECS));
    let hosts = [shop.start_host(), shop.start_host()];
    order(&shop, 1..2).await;
    shop.eventually(SOON, "both hosts know of it", async |shop| {
        shop.host_log().matches("the destination is held back").count() == 2
    })
    .await;
    // One was turned away, or found it out for itself before it read of it.
    let turned_away = shop.receiver.count();
    assert!(turned_away <= 2, "{turned_away}");
    order(&shop, 2..102).await;
    other.wait_for(101).await;
    assert_eq!(shop.receiver.count(), turned_away, "neither host sends anything more");
    shop.receiver.respond(|_| Answer::status(200));
    shop.run(&["destinations", "resume", &shop.receiver.url("")]);
    shop.all_done(SOON).await;
    assert!(hosts.into_iter().all(HostProcess::stop));
    assert_eq!(shop.receiver.count(), 101 + turned_away);
}
