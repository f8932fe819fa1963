//! Measures the PostgreSQL backend alone: capture, intake, completion, claims and the doorbell. Prints microseconds an
//! event, by the clock and of this process's processor time; the server's own is what remains of the clock, and waits.
//!
//! `cargo run --release -p aftercommit-store --example postgres_throughput URL [EVENTS]`, with the URL of an empty
//! database of a server on this machine.

#![expect(clippy::unwrap_used, reason = "a measurement that can not be made ends")]

mod measure;

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::{
    CaptureRequest, Captures as _, HostId, Hosts as _, PostgresOptions, PostgresStore, Schema as _,
};
use sqlx::{Connection as _, PgConnection};

use measure::{BATCH, Spent, Started, drain, ring};

/// In statements of so many rows.
async fn fill(app: &mut PgConnection, events: u32, rows: u32) {
    let sql = "INSERT INTO orders (customer, status, total, paid, note)
         SELECT 'customer ' || i, 'pending', i * 1.25, i % 2 = 0, 'a note of ordinary length for order ' || i
         FROM generate_series(1, $1) AS i";
    for _ in 0..events / rows {
        sqlx::query(sql).bind(i32::try_from(rows).unwrap()).execute(&mut *app).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().expect("the URL of an empty database");
    let events: u32 = arguments.next().map_or(100_000, |text| text.parse().unwrap());
    let store = PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    store.migrate().await.unwrap();
    let mut app = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer TEXT, status TEXT,
             total NUMERIC(20, 2), paid BOOLEAN, note TEXT)",
    )
    .execute(&mut app)
    .await
    .unwrap();
    let host = HostId::random();
    store.register(host, "bench", SystemClock.now()).await.unwrap();

    let mut bare = Spent::default();
    let started = Started::now();
    fill(&mut app, events, BATCH.into()).await;
    bare.add(&started);
    bare.print("insert without capture", events);
    let capture = CaptureRequest::new("orders", "Order");
    store.add_capture(capture, SystemClock.now()).await.unwrap();
    for (name, hold, ordered) in [("", false, false), (", held", true, false), (", ordered", false, true)] {
        let mut inserting = Spent::default();
        let started = Started::now();
        fill(&mut app, events, BATCH.into()).await;
        inserting.add(&started);
        inserting.print("insert with capture", events);
        let [taking, claiming, completing] = drain(&store, host, hold, ordered).await;
        taking.print(&format!("take{name}"), events);
        if hold {
            claiming.print("claim", events);
        }
        completing.print(&format!("complete{name}"), events);
    }
    let mut single = Spent::default();
    let started = Started::now();
    fill(&mut app, events / 10, 1).await;
    single.add(&started);
    single.print("insert of one row, captured", events / 10);
    drain(&store, host, false, false).await;
    ring(&store, host, async || {
        sqlx::query("INSERT INTO orders (status) VALUES ('rung')").execute(&mut app).await.unwrap();
    })
    .await;
    store.retire(host).await.unwrap();
}
