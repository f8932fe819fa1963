//! Figures of the runtime alone: `cargo run --release -p aftercommit-runtime --example speed`. Needs `cargo xtask plugins`.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_core::{ActionConfig, DeliveryId, EntityEvent, EventKind, SystemClock};
use aftercommit_runtime::{
    ComponentSource, ConfiguredAction, DeliveryInfo, EnvSecrets, Plugin, PreparedEvent, Runtime,
    RuntimeSettings,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

const CALLS: usize = 20_000;
const REQUESTS: usize = 20_000;
const TASKS: usize = 32;

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let runtime = Runtime::new(RuntimeSettings::default(), Arc::new(EnvSecrets), Arc::new(SystemClock))?;
    let noop = load(&runtime, "test/noop").await?;
    for (name, limits) in [("fresh", json!({})), ("warm", json!({"reuse": 1_000_000}))] {
        let action = configure(&noop, json!({"limits": limits})).await?;
        calls(name, &action).await?;
        let action = Arc::new(action);
        let rate = throughput(|| {
            let action = Arc::clone(&action);
            async move { action.run(&event(), delivery()).await.result.map(|_| ()).map_err(Into::into) }
        })
        .await?;
        println!("no-op, {name}, {TASKS} at once: {rate:.0}/s");
    }
    let webhook = load(&runtime, "webhook").await?;
    let url = receiver().await?;
    for round in 1..=3 {
        let mut rates = Vec::new();
        let mut last = None;
        for reuse in [0, 1000] {
            let written =
                json!({"url": url, "grants": {"private_network": true}, "limits": {"reuse": reuse}});
            let action = Arc::new(configure(&webhook, written).await?);
            last = Some(Arc::clone(&action));
            let rate = throughput(|| {
                let action = Arc::clone(&action);
                async move { action.run(&event(), delivery()).await.result.map(|_| ()).map_err(Into::into) }
            });
            rates.push(rate.await?);
        }
        let action = last.ok_or("no action")?;
        let native = throughput(|| {
            let (action, url) = (Arc::clone(&action), url.clone());
            async move {
                let event = event();
                let body = serde_json::to_string(event.event())?;
                action.post_natively(&url, &body).await.map(|_| ()).map_err(Into::into)
            }
        })
        .await?;
        let share = |rate: f64| 100.0 * rate / native;
        println!(
            "webhook, round {round}: fresh {:.0}/s ({:.0} %), warm {:.0}/s ({:.0} %), native {native:.0}/s",
            rates[0],
            share(rates[0]),
            rates[1],
            share(rates[1]),
        );
    }
    Ok(())
}

async fn load(runtime: &Runtime, name: &str) -> Result<Arc<Plugin>, Failed> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/dist/{name}.wasm"));
    Ok(runtime.load(name, ComponentSource::File(path), None).await?)
}

async fn configure(plugin: &Arc<Plugin>, mut written: Value) -> Result<ConfiguredAction, Failed> {
    written["type"] = json!(plugin.descriptor().name);
    let action: ActionConfig = serde_json::from_value(written)?;
    Ok(plugin.configure(&action, "speed").await?)
}

fn event() -> PreparedEvent {
    let row =
        json!({"id": 7, "status": "shipped", "total": 150, "customer": {"name": "Anna", "city": "Graz"}});
    PreparedEvent::new(EntityEvent::new(EventKind::Updated, "Order", 7, row))
}

fn delivery() -> DeliveryInfo {
    DeliveryInfo { id: DeliveryId(Uuid::nil()), attempt: 1, max_attempts: 3 }
}

async fn calls(name: &str, action: &ConfiguredAction) -> Result<(), Failed> {
    let event = event();
    let mut spans: Vec<Duration> = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        action.run(&event, delivery()).await.result?;
        spans.push(started.elapsed());
    }
    spans.sort_unstable();
    println!("no-op, {name}: p50 {:?}, p99 {:?}", spans[CALLS / 2], spans[CALLS / 100 * 99]);
    Ok(())
}

async fn throughput<F>(one: impl Fn() -> F) -> Result<f64, Failed>
where
    F: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let started = Instant::now();
    let one = &one;
    let lanes = (0..TASKS).map(|_| async move {
        for _ in 0..REQUESTS / TASKS {
            tokio::spawn(one()).await??;
        }
        Ok::<_, Failed>(())
    });
    futures::future::try_join_all(lanes).await?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(REQUESTS as f64 / started.elapsed().as_secs_f64())
}

/// Answers every request at once; on a thread of its own, as another process would.
async fn receiver() -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Ok(url)
}

async fn answer(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    loop {
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse::<usize>().ok())
            .unwrap_or(0);
        while buffer.len() < head + 4 + length {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        buffer.drain(..head + 4 + length);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}
