//! What WebAssembly costs a webhook: the plugin against the same client called natively, with the same body and the
//! same signature.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_core::{Clock as _, EntityEvent, SystemClock};
use aftercommit_runtime::{ConfiguredAction, Plugin, PreparedEvent};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::hmac;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    figure::{self, Figure, ROUNDS},
    receiver::Receiver,
    sample::{self, Engine, SECRET},
};

const REQUESTS: usize = 10_000;

pub(crate) async fn measure() {
    figure::section("webhook");
    let engine = Engine::start();
    let webhook = engine.load("webhook").await;
    let mut receiver = Receiver::start();
    let native = Arc::new(Native::new(&receiver));
    let fresh = action(&webhook, &receiver, &json!({})).await;
    let kept = action(&webhook, &receiver, &json!({"reuse": 1_000_000})).await;
    for lanes in [16, 64] {
        let mut figures = [Figure::new("/s"), Figure::new("/s"), Figure::new("/s")];
        for _ in 0..ROUNDS {
            figures[0].add(requests(&native, lanes, REQUESTS).await);
            figures[1].add(runs(&fresh, lanes).await);
            figures[2].add(runs(&kept, lanes).await);
        }
        assert_eq!(receiver.report().len(), figures.len() * ROUNDS * (REQUESTS / lanes * lanes));
        let [natively, fresh, kept] = figures;
        let reference = Some(("native client, signed", &natively));
        figure::print(&format!("signed webhook, {lanes} at once"), &fresh, reference, Some(">= 80 %"));
        figure::print(&format!("with kept instances, {lanes} at once"), &kept, reference, None);
    }
}

async fn action(webhook: &Arc<Plugin>, receiver: &Receiver, limits: &Value) -> Arc<ConfiguredAction> {
    let written = json!({
        "url": receiver.url(), "signing_secrets": ["${secret:WEBHOOK_SECRET}"], "limits": limits,
        "grants": {"private_network": true},
    });
    Arc::new(sample::action(webhook, written).await)
}

/// Requests a second of the plugin.
async fn runs(action: &Arc<ConfiguredAction>, lanes: usize) -> f64 {
    let action = Arc::clone(action);
    rate(lanes, REQUESTS, move || {
        let action = Arc::clone(&action);
        async move {
            let event = PreparedEvent::new(sample::event());
            drop(action.run(&event, sample::delivery()).await.result.unwrap());
        }
    })
    .await
}

/// Requests a second of the native client.
pub(crate) async fn requests(native: &Arc<Native>, lanes: usize, count: usize) -> f64 {
    let native = Arc::clone(native);
    rate(lanes, count, move || {
        let native = Arc::clone(&native);
        async move { native.post(&sample::event()).await }
    })
    .await
}

/// How many a second, `lanes` at once; each in a task of its own, as the host does it.
async fn rate<F>(lanes: usize, count: usize, one: impl Fn() -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..lanes)
        .map(|_| {
            let one = one.clone();
            tokio::spawn(async move {
                for _ in 0..count / lanes {
                    tokio::spawn(one()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut figure = Figure::new("/s");
    figure.add_rate(count / lanes * lanes, started);
    figure.median()
}

/// The client as the host sets it up, without the host.
pub(crate) struct Native {
    http: reqwest::Client,
    key: hmac::Key,
    url: String,
}

/// The plugin's default body.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: String,
    data: &'a EntityEvent,
}

impl Native {
    /// An engine must have been started before: it installs the provider of cryptography.
    pub(crate) fn new(receiver: &Receiver) -> Self {
        let http = reqwest::Client::builder()
            .user_agent("aftercommit-bench")
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_mins(1))
            .tcp_nodelay(true)
            .build()
            .unwrap();
        let secret = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        Self { http, key: hmac::Key::new(hmac::HMAC_SHA256, &secret), url: receiver.url() }
    }

    /// Posts an event as the webhook plugin does.
    pub(crate) async fn post(&self, event: &EntityEvent) {
        let id = sample::delivery().id.to_string();
        let timestamp = (SystemClock.now().as_millis() / 1000).to_string();
        let body = Body { r#type: "order.updated", timestamp: event.occurred_at.to_string(), data: event };
        let body = serde_json::to_string(&body).unwrap();
        let signature = hmac::sign(&self.key, format!("{id}.{timestamp}.{body}").as_bytes());
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", format!("v1,{}", BASE64_STANDARD.encode(signature)))
            .timeout(Duration::from_secs(10))
            .body(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success());
        answer.bytes().await.unwrap();
    }
}
