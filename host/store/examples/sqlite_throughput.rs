//! Measures the SQLite backend alone: capture, intake, completion, and the doorbell. Prints microseconds an event, by
//! the clock and of processor time (all threads; Linux only).
//!
//! `cargo run --release -p aftercommit-store --example sqlite_throughput [EVENTS]`

#![expect(clippy::unwrap_used, reason = "a measurement that can not be made ends")]

mod measure;

use std::time::Duration;

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::{
    CaptureRequest, Captures as _, HostId, Hosts as _, Schema as _, SqliteOptions, SqliteStore,
};
use rusqlite::Connection;

use measure::{BATCH, Spent, Started, drain, ring};

fn fill(app: &Connection, events: u32) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO orders (customer, status, total, paid, note)
         SELECT 'customer ' || i, 'pending', i * 1.25, i & 1, 'a note of ordinary length for order ' || i FROM n";
    for _ in 0..events / u32::from(BATCH) {
        app.execute(sql, [BATCH]).unwrap();
    }
}

#[tokio::main]
async fn main() {
    let events: u32 = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/bench.db", folder.path().display());
    let options = SqliteOptions { create: true, ..SqliteOptions::default() };
    let store = SqliteStore::open(&url, options).await.unwrap();
    store.migrate().await.unwrap();
    let app = Connection::open(folder.path().join("bench.db")).unwrap();
    app.busy_timeout(Duration::from_secs(5)).unwrap();
    app.execute_batch(
        "PRAGMA synchronous = NORMAL;
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, status TEXT, total REAL, paid BOOLEAN, note TEXT)",
    )
    .unwrap();
    let host = HostId::random();
    store.register(host, "bench", SystemClock.now()).await.unwrap();

    let mut bare = Spent::default();
    let started = Started::now();
    fill(&app, events);
    bare.add(&started);
    bare.print("insert without capture", events);
    let capture = CaptureRequest::new("orders", "Order");
    store.add_capture(capture, SystemClock.now()).await.unwrap();
    for hold in [false, true] {
        let mut inserting = Spent::default();
        let started = Started::now();
        fill(&app, events);
        inserting.add(&started);
        inserting.print("insert with capture", events);
        let [taking, claiming, completing] = drain(&store, host, hold, false).await;
        taking.print(if hold { "take, left ready" } else { "take, owned at once" }, events);
        if hold {
            claiming.print("claim", events);
        }
        completing.print("complete", events);
    }
    ring(&store, host, async || {
        app.execute("INSERT INTO orders (status) VALUES ('rung')", ()).unwrap();
    })
    .await;
    store.retire(host).await.unwrap();
}
