//! Clocks that are set, and hosts that are stopped for longer than their lease. On SQLite the hosts' clock is set, on PostgreSQL
//! the server's.

use std::{collections::HashSet, sync::Arc, time::Duration};

use aftercommit_tests::{Answer, Cluster, Received, Receiver, SetClock};

use crate::{
    host_process::HostProcess,
    postgres::PostgresDatabase,
    shop::{Database, Shop, webhook},
    sqlite_file::SqliteFile,
};

const SOON: Duration = Duration::from_mins(1);
const HOUR_SECS: i64 = 3600;

/// A host looks at the clock each second.
const CONFIG: &str = "[dispatch]\nlease_timeout_ms = 3000\n";

/// So long that the clock is set back before it is over.
const RETRY: &str = "retry = { max_attempts = 100, initial_delay_ms = 8000, max_delay_ms = 8000 }";

/// Not answered before the hosts have seen that the clock was set ahead.
fn refused_late() -> Answer {
    Answer { after: Duration::from_millis(2500), ..Answer::status(503) }
}

const ORDERS: i64 = 100;

/// The clock is set ahead during attempts, and back while their deliveries wait. Two hosts work.
async fn waits_last_as_long_as_planned<D: Database>(shop: Shop<D>, clock: SetClock) {
    let asking = Receiver::start().await;
    shop.observe(
        &(webhook("retried", RETRY, &shop.receiver.url("/")) + &webhook("held", RETRY, &asking.url("/"))),
    );
    shop.receiver.respond(|_| refused_late());
    asking.respond(|_| refused_late().header("retry-after", "8"));
    let hosts = [shop.start_host(), shop.start_host()];
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.receiver.wait_for(1).await;
    asking.wait_for(1).await;

    clock.set(HOUR_SECS);
    let hosts_log = async |line: &str| {
        shop.eventually(SOON, line, async |shop| shop.host_log().matches(line).count() >= 2).await;
    };
    hosts_log("the clock was set ahead").await;
    shop.eventually(SOON, "both wait", async |shop| {
        shop.count("SELECT count(*) FROM observer_deliveries WHERE state = 'waiting'").await == 2
            && shop.count("SELECT count(*) FROM observer_destinations WHERE until IS NOT NULL").await == 1
    })
    .await;

    clock.set(0);
    shop.receiver.respond(|_| Answer::status(200));
    asking.respond(|_| Answer::status(200));
    hosts_log("the clock was set back").await;
    // So many that the destination is let recover.
    let rows: Vec<_> = (2..=ORDERS).map(|id| format!("({id}, 'pending', 5)")).collect();
    shop.sql(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
    shop.all_done(SOON).await;
    shop.eventually(SOON, "the destination is well", async |shop| {
        shop.count("SELECT count(*) FROM observer_destinations").await == 0
    })
    .await;
    let succeeded = "SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded'";
    assert_eq!(shop.count(succeeded).await, 2 * ORDERS, "of two observers");
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'lost'").await, 0);
    assert!(!shop.host_log().contains("took this one for dead"), "{}", shop.host_log());
    assert!(hosts.into_iter().all(HostProcess::stop));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_clock_that_is_set_back_by_an_hour_makes_nothing_wait_longer() {
    let clock = SetClock::new();
    let mut shop = Shop::open(CONFIG).await;
    for (name, value) in clock.environment() {
        shop.set_env(name, value);
    }
    waits_last_as_long_as_planned(shop, clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_clock_that_is_set_back_by_an_hour_makes_nothing_wait_longer() {
    let clock = SetClock::new();
    let cluster = Arc::new(Cluster::start_by(&clock));
    let shop = Shop::on(PostgresDatabase::create(&cluster).await, CONFIG).await;
    waits_last_as_long_as_planned(shop, clock).await;
}

/// A host that was stopped for longer than its lease begins nothing that another one has taken over.
async fn a_frozen_host_repeats_only_what_was_under_way<D: Database>(
    shop: Shop<D>,
    freeze: impl FnOnce(&Shop<D>, &HostProcess),
) {
    const AT_ONCE: usize = 2;
    const ROWS: usize = 40;
    let observer = webhook("orders", "", &shop.receiver.url("/"));
    shop.observe(&(observer + "headers = { x-host = \"${secret:HOST_NAME}\" }\n"));
    let by_frozen = |received: &[Received]| {
        received.iter().filter(|request| request.header("x-host") == "frozen").count()
    };
    shop.receiver.respond(|request| {
        let after = Duration::from_millis(if request.header("x-host") == "frozen" { 300 } else { 0 });
        Answer { after, ..Answer::status(200) }
    });
    let frozen = shop.start_host_as("frozen");
    let rows: Vec<_> = (1..=ROWS).map(|id| format!("({id}, 'pending', 1)")).collect();
    shop.sql(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
    shop.receiver.wait_for(AT_ONCE).await;
    freeze(&shop, &frozen);
    let before = by_frozen(&shop.receiver.received());
    let other = shop.start_host_as("other");
    shop.all_done(SOON).await;

    frozen.go_on();
    shop.eventually(SOON, "it sees that it was taken for dead", async |shop| {
        shop.host_log().contains("took this one for dead")
    })
    .await;
    // It works again, and so does the other.
    shop.sql("INSERT INTO orders VALUES (41, 'pending', 1)").await;
    shop.receiver
        .wait_until(SOON, |received| {
            let told: HashSet<&str> = received.iter().map(|request| request.header("webhook-id")).collect();
            told.len() == ROWS + 1
        })
        .await;
    shop.all_done(SOON).await;
    assert!(frozen.stop() && other.stop());
    let after = by_frozen(&shop.receiver.received());
    // Those that were on their way, and perhaps the one that came last.
    assert!(
        after <= before + AT_ONCE + 1,
        "{before} before it was frozen, {after} in all\n{}",
        shop.host_log()
    );
    let repeated = shop.receiver.count() - (ROWS + 1);
    assert!(repeated <= AT_ONCE, "{repeated} were repeated");
}

const FROZEN: &str = "[dispatch]\nmax_concurrency = 2\nper_destination = 2\nlease_timeout_ms = 1500\n";

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_host_that_is_stopped_for_longer_than_its_lease_repeats_little() {
    // In the middle of a transaction it would hold up everybody, as any process of an SQLite database would.
    let freeze = |shop: &Shop<SqliteFile>, host: &HostProcess| {
        let application = shop.database.connect();
        application.execute_batch("BEGIN IMMEDIATE").unwrap();
        host.freeze();
        application.execute_batch("ROLLBACK").unwrap();
    };
    a_frozen_host_repeats_only_what_was_under_way(Shop::open(FROZEN).await, freeze).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_host_that_is_stopped_for_longer_than_its_lease_repeats_little() {
    a_frozen_host_repeats_only_what_was_under_way(Shop::on_postgres(FROZEN).await, |_, host| host.freeze())
        .await;
}
