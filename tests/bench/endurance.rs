//! What must stay as it is for minutes: the rate while a session holds a snapshot, so that the server can remove no row
//! that is dead, and the memory while a long backlog drains.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aftercommit::Host;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    database::Application,
    delivery::noop,
    figure::{self, Figure},
    postgres::{Postgres, hold_snapshot},
    process::resident_mib,
    shop::{Shop, delivered},
};

/// Over which a rate is taken.
const WINDOW: Duration = Duration::from_secs(30);
const WINDOWS_BEFORE: u32 = 2;
/// Three minutes.
const WINDOWS_HELD: u32 = 6;
/// So far the application is ahead of the host, so that there is always work.
const AHEAD: u64 = 20_000;
const BURST: usize = 500;

const BACKLOG: usize = 1_000_000;
/// As often the memory is looked at.
const PARTS: usize = 1_000;

pub(crate) async fn measure(server: &Postgres) {
    figure::section("postgres-minutes");
    held_snapshot(server).await;
    backlog(server).await;
}

/// No-op deliveries a second while the application writes as fast as the host delivers: before a snapshot is held, and
/// while one is, by the half minute.
async fn held_snapshot(server: &Postgres) {
    let shop = Shop::observed(server, &noop()).await;
    let host = shop.start().await;
    let application = Ahead::start(shop.connect());
    let (mut before, mut first, mut last) = (Figure::new("/s"), Figure::new("/s"), Figure::new("/s"));
    for _ in 0..WINDOWS_BEFORE {
        before.add(application.rate(&host).await);
    }
    let snapshot = hold_snapshot(&shop.url());
    for window in 0..WINDOWS_HELD {
        let rate = application.rate(&host).await;
        if window < WINDOWS_HELD / 2 { &mut first } else { &mut last }.add(rate);
    }
    spawn_blocking(move || drop(snapshot)).await.unwrap();
    let rows = application.stop().await;
    delivered(&host, rows).await;
    shop.check(host, rows).await;
    let before = Some(("before it", &before));
    figure::print("no-op deliveries, snapshot held, first half", &first, before, None);
    figure::print("the same, second half", &last, before, Some("flat"));
}

/// A host that starts with a million rows in the inbox: its rate and its memory.
async fn backlog(server: &Postgres) {
    let shop = Shop::observed(server, &noop()).await;
    let mut app = shop.connect();
    spawn_blocking(move || app.insert_many(BACKLOG)).await.unwrap();
    let process = std::process::id();
    let host = shop.start().await;
    let started = Instant::now();
    let (mut rate, mut memory, mut most) = (Figure::new("/s"), Figure::new("MiB"), Figure::new("MiB"));
    memory.add(resident_mib(process));
    let mut highest = 0_f64;
    for part in 1..=PARTS {
        delivered(&host, BACKLOG / PARTS * part).await;
        highest = highest.max(resident_mib(process));
    }
    rate.add_rate(BACKLOG, started);
    most.add(highest);
    shop.check(host, BACKLOG).await;
    figure::print("no-op deliveries, a million waiting", &rate, None, None);
    figure::print("resident memory, most while they drain", &most, Some(("at the start", &memory)), None);
}

/// An application that stays a little ahead of the host.
struct Ahead {
    delivered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    writer: JoinHandle<usize>,
}

impl Ahead {
    fn start(mut app: Box<dyn Application>) -> Self {
        let (delivered, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (Arc::clone(&delivered), Arc::clone(&stop));
        let writer = spawn_blocking(move || {
            let mut written = 0;
            while !stopped.load(Ordering::Relaxed) {
                if written as u64 > seen.load(Ordering::Relaxed) + AHEAD {
                    #[expect(clippy::disallowed_methods, reason = "the pace of the application")]
                    std::thread::sleep(Duration::from_millis(1));
                } else {
                    app.insert_many(BURST);
                    written += BURST;
                }
            }
            written
        });
        Self { delivered, stop, writer }
    }

    /// Deliveries a second over the next half minute.
    async fn rate(&self, host: &Host) -> f64 {
        let (started, before) = (Instant::now(), host.health().succeeded);
        while started.elapsed() < WINDOW {
            self.delivered.store(host.health().succeeded, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (host.health().succeeded - before) as f64 / started.elapsed().as_secs_f64()
    }

    /// Returns how many rows were written.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.await.unwrap()
    }
}
