//! The whole way on SQLite: captured by triggers, planned, delivered, logged. The application, the host and the
//! receiver share the machine.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_core::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::{
    figure::{self, Figure, percentile},
    receiver::Receiver,
    shop::{Shop, delivered, insert_many, insert_one},
    webhook::{Native, requests},
};

const ROUNDS: usize = 3;
const ROWS: usize = 20_000;
const SINGLE_ROWS: usize = 5_000;
/// Rows in each transaction of the application that writes while the host runs.
const BURST: usize = 100;
/// One every two milliseconds, for some seconds.
const PACE: Duration = Duration::from_millis(2);
const PACED: usize = 3_000;

pub(crate) async fn measure() {
    figure::section("sqlite");
    let mut receiver = Receiver::start();
    let (mut plain, mut captured) = (Figure::new("/s"), Figure::new("/s"));
    let (mut drained, mut streamed) = (Figure::new("/s"), Figure::new("/s"));
    let (mut webhooks, mut native16) = (Figure::new("/s"), Figure::new("/s"));
    for _ in 0..ROUNDS {
        plain.add(inserts(false).await);
        captured.add(inserts(true).await);
        drained.add(drain(&noop()).await);
        streamed.add(stream(&noop()).await);
        // The shop's engine has installed the provider of cryptography.
        native16.add(requests(&Arc::new(Native::new(&receiver)), 16, ROWS / 2).await);
        webhooks.add(drain(&webhook(&receiver.url())).await);
    }
    figure::print("single-row inserts, captured", &captured, Some(("without triggers", &plain)), None);
    let inserts = Some(("captured single-row inserts", &captured));
    figure::print("no-op deliveries, 20k waiting", &drained, inserts, Some(">= 10000 /s"));
    figure::print("no-op deliveries, while 20k are inserted", &streamed, inserts, Some(">= 10000 /s"));
    let native = Some(("native client alone, 16 at once", &native16));
    figure::print("signed webhooks, 20k waiting", &webhooks, native, None);
    latency(&mut receiver).await;
}

fn noop() -> Value {
    json!({"type": "noop"})
}

fn webhook(url: &str) -> Value {
    json!({
        "type": "webhook", "url": url, "signing_secrets": ["${secret:WEBHOOK_SECRET}"],
        "grants": {"private_network": true},
    })
}

/// Rows a second that the application inserts alone, each in its own transaction.
async fn inserts(captured: bool) -> f64 {
    let shop = Shop::open().await;
    if captured {
        shop.capture().await;
    }
    let app = shop.connect();
    let started = Instant::now();
    for _ in 0..SINGLE_ROWS {
        insert_one(&app);
    }
    rate(SINGLE_ROWS, started)
}

/// Deliveries a second of a host that starts with a full inbox, its start not counted.
async fn drain(action: &Value) -> f64 {
    let shop = Shop::observed(action).await;
    insert_many(&shop.connect(), ROWS);
    let host = shop.start().await;
    let started = Instant::now();
    delivered(&host, ROWS).await;
    let rate = rate(ROWS, started);
    shop.check(host, ROWS).await;
    rate
}

/// Deliveries a second from the first insert to the last delivery, the application writing as fast as it can.
async fn stream(action: &Value) -> f64 {
    let shop = Shop::observed(action).await;
    let host = shop.start().await;
    let app = shop.connect();
    let started = Instant::now();
    // A thread of its own, as it would be a process of its own.
    let inserts = std::thread::spawn(move || (0..ROWS / BURST).for_each(|_| insert_many(&app, BURST)));
    delivered(&host, ROWS).await;
    inserts.join().unwrap();
    let rate = rate(ROWS, started);
    shop.check(host, ROWS).await;
    rate
}

fn rate(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// From the return of the application's commit to the receiver, at a steady pace. Each round also measures the
/// receiver alone, at the same pace.
async fn latency(receiver: &mut Receiver) {
    let (mut p50, mut p99) = (Figure::new("ms"), Figure::new("ms"));
    let (mut native_p50, mut native_p99) = (Figure::new("ms"), Figure::new("ms"));
    for _ in 0..ROUNDS {
        let mut spans = paced_rows(receiver).await;
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

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

async fn paced_rows(receiver: &mut Receiver) -> Vec<Duration> {
    let shop = Shop::observed(&webhook(&receiver.url())).await;
    let host = shop.start().await;
    receiver.report();
    // The application is a thread of its own, as it would be a process of its own.
    let (tell, told) = tokio::sync::oneshot::channel();
    let app = shop.connect();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let committed: Vec<(u64, Timestamp)> = runtime.block_on(async {
            let mut committed = Vec::with_capacity(PACED);
            let mut pace = tokio::time::interval(PACE);
            for _ in 0..PACED {
                pace.tick().await;
                committed.push((insert_one(&app), SystemClock.now()));
            }
            committed
        });
        tell.send(committed).unwrap();
    });
    let committed = told.await.unwrap();
    delivered(&host, PACED).await;
    shop.check(host, PACED).await;
    let mut arrived = receiver.report();
    arrived.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(arrived.len(), PACED);
    committed
        .into_iter()
        .zip(arrived)
        .map(|((id, committed), (told, at))| {
            assert_eq!(id, told);
            at.since(committed)
        })
        .collect()
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
