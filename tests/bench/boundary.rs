//! What the boundary costs, and what it holds off: a granted call against the same call natively, the decision on a
//! request, and a well-behaved action beside hostile ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aftercommit_runtime::{ConfiguredAction, PreparedEvent};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::{
    figure::{self, Figure, ROUNDS, nanos_each},
    plugin::Tail,
    receiver::Receiver,
    sample::{self, Engine},
    webhook::Native,
};

const REQUESTS: u32 = 1_000;
const CALLS: u32 = 100_000;

pub(crate) async fn measure() {
    figure::section("boundary");
    let engine = Engine::start();
    let receiver = Receiver::start();
    calls(&engine, &receiver).await;
    decisions(&engine).await;
}

pub(crate) async fn measure_neighbours() {
    figure::section("neighbours");
    neighbours(&Engine::start(), &Receiver::start()).await;
}

/// One guest calls the host many times, so that its instance costs nothing of the call.
async fn calls(engine: &Engine, receiver: &Receiver) {
    let hostile = engine.load("test/hostile").await;
    let url = receiver.url();
    let grants = json!({"http": [origin(&url)], "private_network": true});
    let limits = json!({"host_calls": 1_000_000, "cpu_ms": 60_000});
    let request = json!({"url": url, "method": "POST", "body": "{\"id\":7}"});
    let written = json!({
        "do": "requests", "count": REQUESTS, "request": request, "grants": grants, "limits": limits, "timeout_ms": 60_000,
    });
    let granted = sample::action(&hostile, written).await;
    let silent =
        sample::action(&hostile, json!({"do": "host_calls", "count": CALLS, "limits": limits})).await;
    let client = Native::new(receiver);
    let (mut by_guest, mut by_host, mut by_client) =
        (Figure::new("us"), Figure::new("us"), Figure::new("us"));
    let mut smallest = Figure::new("ns");
    for _ in 0..ROUNDS {
        let started = Instant::now();
        assert_eq!(run(&granted).await, format!("{REQUESTS} answers"));
        by_guest.add(micros_each(started, REQUESTS));
        let started = Instant::now();
        for _ in 0..REQUESTS {
            granted.post_natively(&url, "{\"id\":7}").await.unwrap();
        }
        by_host.add(micros_each(started, REQUESTS));
        let started = Instant::now();
        for _ in 0..REQUESTS {
            client.post(&sample::event()).await;
        }
        by_client.add(micros_each(started, REQUESTS));
        let started = Instant::now();
        run(&silent).await;
        smallest.add(micros_each(started, CALLS) * 1000.0);
    }
    figure::print(
        "granted request by a guest",
        &by_guest,
        Some(("the same without a guest", &by_host)),
        None,
    );
    figure::print("the same without a guest", &by_host, Some(("native client, signed", &by_client)), None);
    figure::print("call of the host that answers at once", &smallest, None, None);
}

async fn decisions(engine: &Engine) {
    let hostile = engine.load("test/hostile").await;
    let grants = json!({"http": ["https://api.example.com"], "secrets": ["WEBHOOK_SECRET"]});
    let written = json!({"do": "handle", "secret": "${secret:WEBHOOK_SECRET}", "grants": grants});
    let action = sample::action(&hostile, written).await;
    let told: Value = serde_json::from_str(&run_details(&action).await).unwrap();
    let handle = format!("Bearer {}", told["handle"].as_str().unwrap());
    let plain =
        [("authorization".to_owned(), "Bearer x".to_owned()), ("accept".to_owned(), "*/*".to_owned())];
    let secret = [("authorization".to_owned(), handle), ("accept".to_owned(), "*/*".to_owned())];
    let (mut known, mut other, mut substituted) = (Figure::new("ns"), Figure::new("ns"), Figure::new("ns"));
    let decide = |url: &str, headers: &[(String, String)]| {
        nanos_each(CALLS, || {
            std::hint::black_box(action.prepare_natively(url, headers).unwrap());
        })
    };
    let urls = ["https://api.example.com/v1/x", "https://api.example.com/v1/y"];
    for _ in 0..ROUNDS {
        known.add(decide(urls[0], &plain));
        // By turns, so that neither is remembered.
        let mut turn = 0;
        other.add(nanos_each(CALLS, || {
            turn += 1;
            std::hint::black_box(action.prepare_natively(urls[turn % 2], &plain).unwrap());
        }));
        substituted.add(decide(urls[0], &secret));
    }
    figure::print("decision, URL as the last", &known, None, None);
    figure::print("decision, another URL", &other, Some(("URL as the last", &known)), None);
    figure::print("decision, and a secret put in", &substituted, Some(("without a secret", &known)), None);
}

/// So many guests of a kind at the same time.
const AT_ONCE: usize = 8;
/// Deliveries of the well-behaved action, one every [`PACE`].
const DELIVERIES: usize = 1_000;
const PACE: Duration = Duration::from_millis(2);

/// A webhook at a steady pace, alone and beside hostile guests of each kind, by turns.
async fn neighbours(engine: &Engine, receiver: &Receiver) {
    let webhook = engine.load("webhook").await;
    let written = json!({"url": receiver.url(), "grants": {"private_network": true}});
    let calm = Arc::new(sample::action(&webhook, written).await);
    let drip = drip().await;
    let mut kinds = vec![("alone", Vec::new())];
    for (name, guest, written) in [
        ("endless loops", "test/hostile", json!({"do": "loop"})),
        ("endless calls by WASI", "test/wasi", json!({"do": "spin"})),
        ("memory growth", "test/hostile", json!({"do": "grow_memory"})),
        ("log floods", "test/hostile", json!({"do": "flood_log", "limits": {"host_calls": 1_000_000}})),
        (
            "answers that drip",
            "test/hostile",
            json!({"do": "http", "request": {"url": drip}, "grants": {"http": [drip], "private_network": true}, "timeout_ms": 1000}),
        ),
    ] {
        let plugin = engine.load(guest).await;
        kinds.push((name, vec![Arc::new(sample::action(&plugin, written).await)]));
    }
    let all = kinds.iter().flat_map(|(_, actions)| actions.clone()).collect();
    kinds.push(("all of these", all));
    let mut tails: Vec<Tail> = kinds.iter().map(|_| Tail::new()).collect();
    for _ in 0..ROUNDS {
        for ((_, actions), tail) in kinds.iter().zip(&mut tails) {
            tail.add(&mut beside(&calm, actions).await);
        }
    }
    let alone = tails.remove(0);
    alone.print("webhook, alone", "itself", &alone, None);
    for ((name, _), tail) in kinds.iter().skip(1).zip(&tails) {
        tail.print(&format!("webhook beside {AT_ONCE} of: {name}"), "alone", &alone, None);
    }
}

/// How long each delivery of `calm` took, from the moment it was due.
async fn beside(calm: &Arc<ConfiguredAction>, hostile: &[Arc<ConfiguredAction>]) -> Vec<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let hurting: Vec<_> = hostile
        .iter()
        .flat_map(|action| std::iter::repeat_n(action, AT_ONCE))
        .map(|action| {
            let (action, over) = (Arc::clone(action), Arc::clone(&over));
            tokio::spawn(async move {
                let event = PreparedEvent::new(sample::event());
                while !over.load(SeqCst) {
                    // However it ends.
                    drop(action.run(&event, sample::delivery()).await);
                }
            })
        })
        .collect();
    let mut due = tokio::time::interval(PACE);
    let mut running = Vec::with_capacity(DELIVERIES);
    for _ in 0..DELIVERIES {
        let at = due.tick().await;
        let calm = Arc::clone(calm);
        running.push(tokio::spawn(async move {
            let event = PreparedEvent::new(sample::event());
            calm.run(&event, sample::delivery()).await.result.unwrap();
            at.elapsed()
        }));
    }
    let mut spans = Vec::with_capacity(DELIVERIES);
    for task in running {
        spans.push(task.await.unwrap());
    }
    over.store(true, SeqCst);
    for task in hurting {
        task.await.unwrap();
    }
    spans
}

/// A server that takes requests and answers with half a head.
async fn drip() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut taken = [0; 4096];
                let half = b"HTTP/1.1 200 OK\r\nx-a: ";
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, half).await;
                while stream.read(&mut taken).await.is_ok_and(|count| count > 0) {}
            });
        }
    });
    origin
}

async fn run(action: &ConfiguredAction) -> String {
    let event = PreparedEvent::new(sample::event());
    action.run(&event, sample::delivery()).await.result.unwrap().summary
}

async fn run_details(action: &ConfiguredAction) -> String {
    let event = PreparedEvent::new(sample::event());
    action.run(&event, sample::delivery()).await.result.unwrap().details.unwrap()
}

fn micros_each(since: Instant, count: u32) -> f64 {
    since.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let path = url[8..].find('/').map_or(url.len(), |at| at + 8);
    &url[..path]
}
