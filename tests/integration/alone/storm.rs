//! Hosts and servers killed, connections cut, all at once and again and again: every committed change is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_tests::{Answer, Cluster, Received};
use tokio::time::{interval, sleep};

use crate::{
    host_process::HostProcess,
    postgres::{
        database::PostgresDatabase,
        oracle::{Oracle, of_body},
        pooled_writers::PooledWriters,
        writers::Writers,
    },
    shop::{Database as _, Shop, webhook},
};

const HOSTS: usize = 3;
/// One host is killed each second.
const HOST_KILLS: u32 = 30;
const SERVER_KILLS: u32 = 3;
/// Between two kills of the server. It is up again about a second after each.
const SERVER_LIVES: Duration = Duration::from_secs(8);
/// Between two cuts of all connections of all hosts.
const UNCUT: Duration = Duration::from_millis(2700);

/// The largest statement of pooled writers.
const POOLED_ROWS: usize = 200;

const SOON: Duration = Duration::from_mins(1);

/// What one host owns at most, and so what can run once more after its end.
const CAPACITY: usize = 16;

/// What a crash of the server takes back at most: it writes what was committed to its log three times
/// `wal_writer_delay` (200 ms) later at the latest, and the kill itself takes a moment.
const TAKEN_BACK: Duration = Duration::from_secs(1);

const CONFIG: &str = "[intake]\nbatch_size = 16\n[dispatch]\nchannel_capacity = 16\nmax_concurrency = 8\nper_destination = 8\n\
                      lease_timeout_ms = 2000\n";

const PATIENT: &str = "retry = { max_attempts = 100, initial_delay_ms = 20, max_delay_ms = 500 }";

/// Some rows are refused for good, some requests fail once.
fn answer(request: &Received) -> Answer {
    let change = of_body(&request.body);
    let key: u64 = change.split(' ').nth(1).and_then(|key| key.parse().ok()).expect("a key");
    Answer::status(match (key % 40, fastrand::u8(..50)) {
        (0, _) => 422,
        (_, 0) => 503,
        _ => 200,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_while_hosts_and_the_server_are_killed_and_connections_cut() {
    let cluster = Arc::new(Cluster::start());
    let shop = Shop::on(PostgresDatabase::create(&cluster).await, CONFIG).await;
    shop.observe(&webhook("everything", PATIENT, &shop.receiver.url("/hook")));
    shop.receiver.respond(answer);
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&shop, &oracle, 8, 0..300).await;
    let pooled = PooledWriters::start(&shop, &oracle, fastrand::u64(..), POOLED_ROWS).await;

    let mut hosts: Vec<HostProcess> = (0..HOSTS).map(|_| shop.start_host()).collect();
    let ((), crashes, over) = tokio::join!(kill_hosts(&shop, &mut hosts), kill_server(&cluster), async {
        tokio::time::timeout(Duration::from_secs(u64::from(HOST_KILLS)), cut_connections(&shop)).await
    });
    assert!(over.is_err(), "cuts go on until they are over");
    writers.stop().await;
    pooled.finish().await;
    for host in &mut hosts {
        if !host.runs() {
            *host = shop.start_host();
        }
    }
    shop.all_done(SOON).await;
    shop.eventually(SOON, "dead hosts are forgotten", async |shop| {
        shop.count("SELECT count(*) FROM observer_hosts").await == i64::try_from(HOSTS).unwrap()
    })
    .await;
    assert!(hosts.into_iter().all(HostProcess::stop), "{}", shop.host_log());

    let account = oracle.check(&shop).await;
    Oracle::check_numbered_in_order(&shop).await;
    assert!(account.dead > 0, "some rows are refused for good");
    check_tables(&shop, account.committed).await;
    let at_risk = HOST_KILLS as usize * CAPACITY + at_risk(&shop.receiver.received(), &crashes, HOSTS);
    println!(
        "{HOST_KILLS} hosts and {SERVER_KILLS} servers killed: {account:?}, {at_risk} may have been repeated"
    );
    assert!(account.duplicates <= at_risk, "{account:?}, at most {at_risk} were in flight");
}

/// What the crash takes back is made again by a host that lives on, though nobody took anything over from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_host_outlives_its_server() {
    let cluster = Arc::new(Cluster::start());
    let shop = Shop::on(PostgresDatabase::create(&cluster).await, CONFIG).await;
    shop.observe(&webhook("everything", PATIENT, &shop.receiver.url("/hook")));
    let oracle = Arc::new(Oracle::default());
    // Few commits of the application, which would keep the host's last ones safe.
    let writers = Writers::start(&shop, &oracle, 2, 0..300).await;
    let mut host = shop.start_host();
    let crashes = kill_server(&cluster).await;
    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(host.runs() && host.stop(), "{}", shop.host_log());

    let account = oracle.check(&shop).await;
    Oracle::check_numbered_in_order(&shop).await;
    check_tables(&shop, account.committed).await;
    let at_risk = at_risk(&shop.receiver.received(), &crashes, 1);
    println!("{SERVER_KILLS} servers killed: {account:?}, {at_risk} may have been repeated");
    assert!(account.duplicates <= at_risk, "{account:?}, at most {at_risk} were in flight");
}

/// Every second one of them, in turn; another takes its place at once, and tries again when the server is down.
async fn kill_hosts(shop: &Shop<PostgresDatabase>, hosts: &mut [HostProcess]) {
    let mut second = interval(Duration::from_secs(1));
    second.tick().await;
    for kill in 0..HOST_KILLS {
        second.tick().await;
        for host in hosts.iter_mut() {
            if !host.runs() {
                *host = shop.launch_host();
            }
        }
        let place = usize::try_from(kill).unwrap() % HOSTS;
        let host = std::mem::replace(&mut hosts[place], shop.launch_host());
        host.kill();
    }
}

/// Returns when it did.
async fn kill_server(cluster: &Arc<Cluster>) -> Vec<Instant> {
    let mut crashes = Vec::new();
    for _ in 0..SERVER_KILLS {
        sleep(SERVER_LIVES).await;
        let cluster = Arc::clone(cluster);
        let killed = tokio::task::spawn_blocking(move || {
            cluster.kill();
            let at = Instant::now();
            cluster.start_again();
            at
        });
        crashes.push(killed.await.expect("it starts again"));
    }
    crashes
}

/// Again and again, all of all hosts.
async fn cut_connections(shop: &Shop<PostgresDatabase>) {
    const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'aftercommit' AND datname = current_database()";
    loop {
        sleep(UNCUT).await;
        // The server may be down.
        let _ = shop.database.execute(CUT).await;
    }
}

/// How many deliveries crashes of the server may have had made again: what all hosts owned, and what had ended a moment
/// before.
fn at_risk(received: &[Received], crashes: &[Instant], hosts: usize) -> usize {
    let taken_back = |crash: &Instant| {
        received.iter().filter(|request| request.at <= *crash && request.at + TAKEN_BACK >= *crash).count()
    };
    crashes.iter().map(|crash| hosts * CAPACITY + taken_back(crash)).sum()
}

/// No leftovers, and the end of every delivery is on record.
async fn check_tables(shop: &Shop<PostgresDatabase>, committed: usize) {
    for (query, expected) in [
        ("SELECT count(*) FROM observer_inbox", 0),
        ("SELECT count(*) FROM observer_deliveries", 0),
        ("SELECT count(*) FROM observer_hosts", 0),
        ("SELECT count(*) FROM observer_load_errors", 0),
        ("SELECT count(*) FROM observer_quarantine", 0),
        (
            "SELECT count(DISTINCT delivery_id) FROM tb_observer_log WHERE status IN ('succeeded', 'dead')",
            i64::try_from(committed).unwrap(),
        ),
    ] {
        assert_eq!(shop.count(query).await, expected, "{query}");
    }
}
