//! One hot entity: how fast the deliveries of one ordering key go, and what those of other entities wait beside them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aftercommit::{Host, ObserverDefinition};
use aftercommit_core::{Clock as _, EntityEvent, EventKind, SystemClock};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    database::Server,
    delivery::{ROUNDS, millis, webhook},
    figure::{self, Figure, percentile},
    receiver::Receiver,
    shop::{Shop, delivered},
};

/// All of one entity.
const ROWS: usize = 20_000;

/// Events of other entities, one every five milliseconds.
const OTHERS: usize = 1_000;
const PACE: Duration = Duration::from_millis(5);

/// The application is so many rows ahead of the host.
const AHEAD: usize = 3_000;
const BURST: usize = 500;

pub(crate) async fn measure(section: &str, server: &dyn Server) {
    figure::section(section);
    let mut receiver = Receiver::start();
    let (mut one_key, mut no_key) = (Figure::new("/s"), Figure::new("/s"));
    let (mut p50, mut p99) = (Figure::new("ms"), Figure::new("ms"));
    let (mut alone_p50, mut alone_p99) = (Figure::new("ms"), Figure::new("ms"));
    let (mut unordered_p50, mut unordered_p99) = (Figure::new("ms"), Figure::new("ms"));
    let mut beside = Figure::new("/s");
    for _ in 0..ROUNDS {
        one_key.add(drain(server, "per_entity").await);
        no_key.add(drain(server, "none").await);
        let (mut spans, _) = latency(server, &mut receiver, "per_entity", false).await;
        alone_p50.add(millis(percentile(&mut spans, 50)));
        alone_p99.add(millis(percentile(&mut spans, 99)));
        let (mut spans, _) = latency(server, &mut receiver, "none", true).await;
        unordered_p50.add(millis(percentile(&mut spans, 50)));
        unordered_p99.add(millis(percentile(&mut spans, 99)));
        let (mut spans, rate) = latency(server, &mut receiver, "per_entity", true).await;
        p50.add(millis(percentile(&mut spans, 50)));
        p99.add(millis(percentile(&mut spans, 99)));
        beside.add(rate);
    }
    let unordered = Some(("not ordered", &no_key));
    figure::print("log, one entity, 20k waiting", &one_key, unordered, Some(">= 2000 /s"));
    figure::print("log, one entity, while it is written", &beside, None, Some(">= 2000 /s"));
    let percentiles = [("p50", &p50, &unordered_p50, &alone_p50), ("p99", &p99, &unordered_p99, &alone_p99)];
    for (name, beside, unordered, alone) in percentiles {
        let label = format!("webhook of other entities, 200/s, {name}");
        figure::print(
            &label,
            beside,
            Some(("beside the same rows in no order", unordered)),
            Some("<= 100 %"),
        );
        figure::print("the same", beside, Some(("alone", alone)), None);
    }
}

/// A shop whose rows are all of one entity, since their key is the country, and events of other entities.
async fn shop(server: &dyn Server, ordering: &str, url: &str) -> Shop {
    let shop = Shop::open(server).await;
    shop.capture_table("orders", "Country", &["country"], true).await;
    let log = json!({"type": "log", "message": "{{entity_id}}: {{note}}", "level": "debug"});
    let observer = |name: &str, entity: &str, action: Value| -> ObserverDefinition {
        let written = json!({"name": name, "entity_type": entity, "ordering": ordering, "actions": [action]});
        serde_json::from_value(written).unwrap()
    };
    shop.observe(vec![observer("hot", "Country", log), observer("other", "Order", webhook(url))]).await;
    shop
}

/// Deliveries a second of a host that starts with a full inbox.
async fn drain(server: &dyn Server, ordering: &str) -> f64 {
    let shop = shop(server, ordering, "http://127.0.0.1:9/").await;
    let mut app = shop.connect();
    spawn_blocking(move || app.insert_many(ROWS)).await.unwrap();
    let host = shop.start().await;
    let started = Instant::now();
    delivered(&host, ROWS).await;
    let rate = ROWS as f64 / started.elapsed().as_secs_f64();
    shop.check(host, ROWS).await;
    rate
}

/// From the commit of an event to the receiver, and deliveries a second of the hot entity meanwhile.
async fn latency(
    server: &dyn Server,
    receiver: &mut Receiver,
    ordering: &str,
    with_hot: bool,
) -> (Vec<Duration>, f64) {
    let shop = shop(server, ordering, &receiver.url()).await;
    let host = Arc::new(shop.start().await);
    receiver.report();
    let done = Arc::new(AtomicBool::new(!with_hot));
    let written = Arc::new(AtomicUsize::new(0));
    let writing = write_hot(&shop, &host, &written, &done);
    let started = Instant::now();
    let mut pace = tokio::time::interval(PACE);
    let mut committed = Vec::with_capacity(OTHERS);
    for n in 0..OTHERS {
        pace.tick().await;
        let row = json!({"id": n, "status": "pending", "total": 150.25});
        shop.emit(EntityEvent::new(EventKind::Created, "Order", n, row)).await;
        committed.push(SystemClock.now());
    }
    let hot_done = host.health().succeeded.saturating_sub(OTHERS as u64);
    let rate = hot_done as f64 / started.elapsed().as_secs_f64();
    done.store(true, Relaxed);
    writing.await.unwrap();
    let count = OTHERS + written.load(Relaxed);
    delivered(&host, count).await;
    shop.check(Arc::into_inner(host).unwrap(), count).await;
    let mut arrived = receiver.report();
    arrived.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(arrived.len(), OTHERS);
    let spans = committed.into_iter().zip(arrived).map(|(committed, (_, at))| at.since(committed)).collect();
    (spans, rate)
}

/// Writes rows of the hot entity, always some ahead of the host.
fn write_hot(
    shop: &Shop,
    host: &Arc<Host>,
    written: &Arc<AtomicUsize>,
    done: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let (mut app, host) = (shop.connect(), Arc::clone(host));
    let (written, done) = (Arc::clone(written), Arc::clone(done));
    spawn_blocking(move || {
        while !done.load(Relaxed) {
            let delivered = usize::try_from(host.health().succeeded).unwrap();
            if written.load(Relaxed) < delivered + AHEAD {
                app.insert_many(BURST);
                written.fetch_add(BURST, Relaxed);
            } else {
                #[expect(clippy::disallowed_methods, reason = "the pace of the application")]
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    })
}
