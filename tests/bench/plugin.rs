//! What one attempt costs: a fresh instance, a kept one, and a webhook.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use aftercommit_runtime::{ConfiguredAction, PreparedEvent};
use serde_json::json;

use crate::{
    figure::{self, Figure, ROUNDS, percentile},
    receiver::Receiver,
    sample::{self, Engine},
    webhook::Native,
};

const CALLS: usize = 5_000;
const REQUESTS: usize = 1_000;

/// Medians and the last percent of several rounds.
pub(crate) struct Tail {
    p50: Figure,
    p99: Figure,
}

impl Tail {
    pub(crate) const fn new() -> Self {
        Self { p50: Figure::new("us"), p99: Figure::new("us") }
    }

    pub(crate) fn add(&mut self, spans: &mut [Duration]) {
        self.p50.add(percentile(spans, 50).as_secs_f64() * 1e6);
        self.p99.add(percentile(spans, 99).as_secs_f64() * 1e6);
    }

    pub(crate) fn print(&self, name: &str, what: &str, reference: &Self, target: Option<&str>) {
        figure::print(&format!("{name}, p50"), &self.p50, Some((what, &reference.p50)), target);
        figure::print(&format!("{name}, p99"), &self.p99, Some((what, &reference.p99)), None);
    }
}

pub(crate) async fn measure() {
    figure::section("plugin");
    let engine = Engine::start();
    let noop = engine.load("test/noop").await;
    let fresh = sample::action(&noop, json!({})).await;
    let kept = sample::action(&noop, json!({"limits": {"reuse": 1_000_000}})).await;
    let (mut fresh_tail, mut kept_tail, mut nothing_tail) = (Tail::new(), Tail::new(), Tail::new());
    for _ in 0..ROUNDS {
        fresh_tail.add(&mut runs(&fresh, CALLS).await);
        kept_tail.add(&mut runs(&kept, CALLS).await);
        nothing_tail.add(&mut nothing().await);
    }
    fresh_tail.print("no-op, fresh instance", "native call", &nothing_tail, Some("<= 25 us"));
    kept_tail.print("no-op, kept instance", "native call", &nothing_tail, Some("<= 5 us"));

    let receiver = Receiver::start();
    let webhook = engine.load("webhook").await;
    let template =
        r#"{"event":"{{entity_type}}","id":"{{entity_id}}","status":"{{status}}","entity_id":"7"}"#;
    let written =
        json!({"url": receiver.url(), "body_template": template, "grants": {"private_network": true}});
    let action = sample::action(&webhook, written).await;
    let native = Native::new(&receiver);
    let (mut wasm_tail, mut native_tail) = (Tail::new(), Tail::new());
    for _ in 0..ROUNDS {
        wasm_tail.add(&mut runs(&action, REQUESTS).await);
        let mut spans = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let started = Instant::now();
            native.post(&sample::event()).await;
            spans.push(started.elapsed());
        }
        native_tail.add(&mut spans);
    }
    wasm_tail.print("webhook with a template, one by one", "native client, signed", &native_tail, None);
}

async fn runs(action: &ConfiguredAction, count: usize) -> Vec<Duration> {
    let event = PreparedEvent::new(sample::event());
    let delivery = sample::delivery();
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        action.run(&event, delivery).await.result.unwrap();
        spans.push(started.elapsed());
    }
    spans
}

/// What a native action that does nothing would cost: a call through a trait object, under a timeout.
async fn nothing() -> Vec<Duration> {
    type Call = dyn Fn(&PreparedEvent) -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync;
    let call: Box<Call> = Box::new(|event| {
        let kind = event.event().event_kind;
        Box::pin(async move { format!("{kind} done") })
    });
    let event = PreparedEvent::new(sample::event());
    let mut spans = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        tokio::time::timeout(Duration::from_secs(10), std::hint::black_box(&call)(&event)).await.unwrap();
        spans.push(started.elapsed());
    }
    spans
}
