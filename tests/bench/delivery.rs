//! The whole way: captured by triggers, planned, delivered, logged. The application, the database, the host and the
//! receiver share the machine.

use std::time::{Duration, Instant};

use aftercommit_core::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    database::Server,
    figure::{self, Figure, percentile},
    receiver::Receiver,
    shop::{Shop, delivered},
    webhook::Native,
};

/// Rounds of what takes seconds.
pub(crate) const ROUNDS: usize = 3;
const SINGLE_ROWS: usize = 5_000;
/// Rows in each transaction of the application that writes while the host runs.
const BURST: usize = 100;
/// One every two milliseconds, for some seconds.
const PACE: Duration = Duration::from_millis(2);
const PACED: usize = 3_000;

pub(crate) fn noop() -> Value {
    json!({"type": "noop"})
}

pub(crate) fn webhook(url: &str) -> Value {
    json!({
        "type": "webhook", "url": url, "signing_secrets": ["${secret:WEBHOOK_SECRET}"],
        "grants": {"private_network": true},
    })
}

/// Rows a second that the application inserts alone, each in its own transaction.
pub(crate) async fn inserts(server: &dyn Server, captured: bool) -> f64 {
    let shop = Shop::open(server).await;
    if captured {
        shop.capture(true).await;
    }
    let mut app = shop.connect();
    let insert = move || {
        let started = Instant::now();
        for _ in 0..SINGLE_ROWS {
            app.insert_one();
        }
        rate(SINGLE_ROWS, started)
    };
    spawn_blocking(insert).await.unwrap()
}

/// Deliveries a second of a host that starts with a full inbox, its start not counted.
pub(crate) async fn drain(server: &dyn Server, action: &Value, rows: usize) -> f64 {
    let shop = Shop::observed(server, action).await;
    let mut app = shop.connect();
    spawn_blocking(move || app.insert_many(rows)).await.unwrap();
    let host = shop.start().await;
    let started = Instant::now();
    delivered(&host, rows).await;
    let rate = rate(rows, started);
    shop.check(host, rows).await;
    rate
}

/// Deliveries a second from the first insert to the last delivery, the application writing as fast as it can.
pub(crate) async fn stream(server: &dyn Server, action: &Value, rows: usize) -> f64 {
    let shop = Shop::observed(server, action).await;
    let host = shop.start().await;
    let mut app = shop.connect();
    let started = Instant::now();
    let inserts = spawn_blocking(move || (0..rows / BURST).for_each(|_| app.insert_many(BURST)));
    delivered(&host, rows).await;
    inserts.await.unwrap();
    let rate = rate(rows, started);
    shop.check(host, rows).await;
    rate
}

fn rate(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// From the return of the application's commit to the receiver, at a steady pace. Each round also measures the
/// receiver alone, at the same pace.
pub(crate) async fn latency(server: &dyn Server, receiver: &mut Receiver) {
    let (mut p50, mut p99) = (Figure::new("ms"), Figure::new("ms"));
    let (mut native_p50, mut native_p99) = (Figure::new("ms"), Figure::new("ms"));
    for _ in 0..ROUNDS {
        let mut spans = paced_rows(server, receiver, PACE, PACED).await;
        p50.add(millis(percentile(&mut spans, 50)));
        p99.add(millis(percentile(&mut spans, 99)));
        let mut spans = paced_requests(receiver).await;
        native_p50.add(millis(percentile(&mut spans, 50)));
        native_p99.add(millis(percentile(&mut spans, 99)));
    }
    let what = "native request and answer, same pace";
    figure::print("commit to receiver, 500/s, p50", &p50, Some((what, &native_p50)), Some("<= 3 ms"));
    figure::print("commit to receiver, 500/s, p99", &p99, Some((what, &native_p99)), Some("<= 15 ms"));
}

pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// From the commit of each of so many rows to the receiver, one at each `pace`.
pub(crate) async fn paced_rows(
    server: &dyn Server,
    receiver: &mut Receiver,
    pace: Duration,
    rows: usize,
) -> Vec<Duration> {
    let shop = Shop::observed(server, &webhook(&receiver.url())).await;
    let host = shop.start().await;
    receiver.report();
    let mut app = shop.connect();
    let write = move || {
        let mut committed = Vec::with_capacity(rows);
        let started = Instant::now();
        for row in 0..rows {
            pause_until(started + pace * u32::try_from(row).unwrap());
            committed.push((app.insert_one(), SystemClock.now()));
        }
        committed
    };
    let committed: Vec<(u64, Timestamp)> = spawn_blocking(write).await.unwrap();
    delivered(&host, rows).await;
    shop.check(host, rows).await;
    let mut arrived = receiver.report();
    arrived.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(arrived.len(), rows);
    committed
        .into_iter()
        .zip(arrived)
        .map(|((id, committed), (told, at))| {
            assert_eq!(id, told);
            at.since(committed)
        })
        .collect()
}

/// Blocks the thread.
fn pause_until(moment: Instant) {
    #[expect(clippy::disallowed_methods, reason = "the pace of the application")]
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

async fn paced_requests(receiver: &Receiver) -> Vec<Duration> {
    let native = Native::new(receiver);
    let mut pace = tokio::time::interval(PACE);
    let mut spans = Vec::with_capacity(PACED);
    for _ in 0..PACED {
        pace.tick().await;
        let started = Instant::now();
        native.post(&crate::sample::event()).await;
        spans.push(started.elapsed());
    }
    spans
}
