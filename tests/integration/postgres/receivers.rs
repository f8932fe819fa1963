//! Receivers that do not do what they should: the host stays small, and the others do not notice.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use aftercommit_tests::{Answer, Received, Receiver};
use tokio::time::{interval, sleep};

use super::{database::PostgresDatabase, oracle::of_body};
use crate::shop::{Shop, webhook};

/// Of each destination; five that are stuck leave slots to the sixth.
const PER_DESTINATION: usize = 8;

const CONFIG: &str = "[dispatch]\nmax_concurrency = 64\nper_destination = 8\n";

/// Long pauses: what is repeated for five receivers should not keep a small machine busy by itself.
const PATIENT: &str =
    "retry = { max_attempts = 1000, initial_delay_ms = 2000, max_delay_ms = 15000, jitter = 0.2 }";

/// A receiver that hangs is given up after this; who had to wait for its slots would wait about as long.
const TIMEOUT: &str = "timeout_ms = 5000\n";

/// What any machine may need to tell a change at once.
const AT_ONCE: Duration = Duration::from_secs(1);

/// While all is well, and then while five of six receivers misbehave.
const CALM: Duration = Duration::from_secs(5);
const TROUBLE: Duration = Duration::from_mins(1);

/// Between two changes.
const PACE: Duration = Duration::from_millis(200);

const SOON: Duration = Duration::from_mins(1);

/// Far above what a debug build of the host needs, and far below one of the endless answers.
const MEMORY_MIB: u64 = 400;

fn endless() -> Answer {
    Answer { body_bytes: 1 << 30, ..Answer::status(200) }
}

/// What the five do, by name.
fn misbehave(how: &str) -> Answer {
    let after = |after| Answer { after, ..Answer::status(200) };
    match how {
        "hangs" => after(Duration::from_hours(1)),
        "slow" => after(Duration::from_millis(1500)),
        "resets" => Answer { reset: true, ..Answer::status(503) },
        "endless" => endless(),
        _ => Answer::status(500),
    }
}

const KINDS: [&str; 5] = ["hangs", "slow", "resets", "endless", "fails"];

/// When each change was committed.
type Commits = HashMap<String, Instant>;

/// A shop with the good observer, and one more for each of these receivers.
async fn open(unruly: &HashMap<&str, Receiver>) -> Shop<PostgresDatabase> {
    let shop = Shop::on_postgres(CONFIG).await;
    let mut observers = webhook("good", "", &shop.receiver.url("/"));
    for (how, receiver) in unruly {
        observers += &webhook(how, PATIENT, &receiver.url("/"));
        observers += TIMEOUT;
    }
    shop.observe(&observers);
    shop
}

/// The latency of the good receiver is compared with that of a shop that has no other and stands beside it on the same
/// machine at the same time: what else the machine does counts for both.
#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_misbehave_for_a_minute_cost_no_memory_and_disturb_no_other() {
    let mut unruly = HashMap::new();
    for how in KINDS {
        unruly.insert(how, Receiver::start().await);
    }
    let (shop, quiet) = (open(&unruly).await, open(&HashMap::new()).await);
    let (host, quiet_host) = (shop.start_host(), quiet.start_host());
    let (mut committed, mut beside) = (Commits::new(), Commits::new());
    tokio::join!(change_rows(&shop, &mut committed, CALM), change_rows(&quiet, &mut beside, CALM));
    let troubled_from = committed.len();
    for (how, receiver) in &unruly {
        let how = *how;
        receiver.respond(move |_| misbehave(how));
    }
    tokio::join!(change_rows(&shop, &mut committed, TROUBLE), change_rows(&quiet, &mut beside, TROUBLE));
    let recovery = Instant::now();
    for receiver in unruly.values() {
        // Slow enough that requests overlap.
        receiver.respond(|_| Answer { after: Duration::from_millis(20), ..Answer::status(200) });
    }
    shop.all_done(SOON).await;
    quiet.all_done(SOON).await;
    let memory = host.peak_memory_mib();
    assert!(host.stop() && quiet_host.stop());

    let typical = median(&latencies(&quiet.receiver.received(), &beside));
    let troubled = median(&latencies(&shop.receiver.received(), &committed)[troubled_from..]);
    println!("{} changes; told after {troubled:?}, beside it {typical:?}; {memory} MiB", committed.len());
    assert!(troubled <= (typical * 5).max(AT_ONCE), "{troubled:?}, beside it {typical:?}");
    assert!(memory < MEMORY_MIB, "{memory} MiB");
    for (how, receiver) in &unruly {
        let received = receiver.received();
        let told: HashSet<_> = received.iter().map(|request| of_body(&request.body)).collect();
        assert_eq!(told.len(), committed.len(), "{how}");
        paced(how, receiver, &received, recovery);
    }
    // An answer without end says in its first line that the event was taken; whatever else went wrong has passed.
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
}

/// Inserts a row at every tick; notes when each was committed.
async fn change_rows(shop: &Shop<PostgresDatabase>, committed: &mut Commits, how_long: Duration) {
    let mut tick = interval(PACE);
    let since = Instant::now();
    while since.elapsed() < how_long {
        tick.tick().await;
        let key = committed.len() + 1;
        shop.sql(&format!("INSERT INTO orders VALUES ({key}, 'new', 1)")).await;
        committed.insert(format!("created {key} new"), Instant::now());
    }
    // What the last commit made is on its way.
    sleep(PACE).await;
}

/// Of each change in the order of the commits.
fn latencies(received: &[Received], committed: &Commits) -> Vec<Duration> {
    let at: HashMap<String, Instant> =
        received.iter().map(|request| (of_body(&request.body), request.at)).collect();
    let mut both: Vec<(Instant, Instant)> =
        committed.iter().map(|(change, committed)| (*committed, at[change])).collect();
    both.sort();
    both.into_iter().map(|(committed, told)| told.saturating_duration_since(committed)).collect()
}

fn median(latencies: &[Duration]) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// What waited for a receiver does not all come at once when it is back.
fn paced(how: &str, by: &Receiver, received: &[Received], recovery: Instant) {
    // One that hung learns a moment too late that the host has given a request up and sends the next.
    let at_once = if how == "hangs" { 2 * PER_DESTINATION } else { PER_DESTINATION };
    assert!(by.most_at_once() <= at_once, "{how}: {} at once", by.most_at_once());
    let mut by_moment: HashMap<u128, usize> = HashMap::new();
    for request in received.iter().filter(|request| request.at > recovery) {
        *by_moment.entry((request.at - recovery).as_millis() / 100).or_default() += 1;
    }
    let (all, most) = (by_moment.values().sum::<usize>(), by_moment.values().max().copied().unwrap_or(0));
    println!("{how}: {all} came after its recovery, {most} at most within 100 ms");
    assert!(most <= all.div_ceil(2).max(2 * PER_DESTINATION), "{how}: {most} of {all} within 100 ms");
}
