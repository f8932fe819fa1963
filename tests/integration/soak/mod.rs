//! Hosts under good and hostile work at once: every good delivery arrives, and memory and open files stay as they are.
//!
//! `SOAK_SECONDS` says for how long; two minutes is the default. `cargo xtask test` runs this in a step of its own, and
//! `cargo xtask soak` for an hour.

mod hostile_work;
mod unruly_server;
mod usage;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use aftercommit_tests::Received;
use serde_json::Value;
use tokio::time::interval;

use self::{
    hostile_work::HostileWork,
    unruly_server::{KINDS, UnrulyServer},
    usage::Usage,
};
use crate::shop::{Database, Shop, webhook};

const DEFAULT_SECONDS: u64 = 120;

/// Between two rounds of rows; a round that takes longer is followed by the next at once.
const PACE: Duration = Duration::from_millis(500);

/// Good rows of a round.
const ORDERS: usize = 20;

/// Large rows in all, however long it takes: the database keeps them.
const DOCUMENTS: u32 = 100;
const DOCUMENT_BYTES: [usize; 3] = [64 << 10, 512 << 10, 4 << 20];

/// For one good delivery, on a machine that is busy with all the hostile ones.
const SOON: Duration = Duration::from_mins(2);

/// Hostile servers are tried again each second, and not ever more seldom.
const CONFIG: &str = "[dispatch]\nbreaker_max_open_ms = 1000\n";

/// What the application wrote so far, and so what has to arrive.
#[derive(Default)]
struct Written {
    orders: usize,
    documents: usize,
    noise: usize,
}

impl Written {
    fn good(&self) -> usize {
        self.orders + self.documents
    }
}

fn duration() -> Duration {
    let seconds = std::env::var("SOAK_SECONDS").ok();
    Duration::from_secs(seconds.map_or(DEFAULT_SECONDS, |text| text.parse().expect("a number of seconds")))
}

/// Both at once: a small machine has no two minutes for each.
#[tokio::test(flavor = "multi_thread")]
async fn good_deliveries_arrive_and_nothing_grows_beside_hostile_work() {
    let config = format!("{CONFIG}{}", hostile_work::plugins());
    let (on_sqlite, on_postgres) = (Shop::open(&config).await, Shop::on_postgres(&config).await);
    tokio::join!(
        soak("SQLite", on_sqlite, hostile_work::ODD_ROWS_ON_SQLITE),
        soak("PostgreSQL", on_postgres, hostile_work::ODD_ROWS_ON_POSTGRES)
    );
}

async fn soak<D: Database>(name: &str, shop: Shop<D>, odd_rows: &'static [&'static str]) {
    let mut servers = Vec::new();
    for kind in KINDS {
        servers.push((kind, UnrulyServer::start(kind).await));
    }
    let hostile = HostileWork::new(&servers, odd_rows);
    shop.sql("CREATE TABLE documents (id INTEGER PRIMARY KEY, body TEXT NOT NULL)").await;
    shop.sql("CREATE TABLE noise (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL)").await;
    shop.capture("documents", "Document", &[]);
    shop.capture("noise", "Noise", &[]);
    std::fs::write(shop.path(hostile_work::HEAVY), hostile_work::heavy()).expect("the folder is ours");
    shop.observe(&format!("{}{}", good_observers(&shop), hostile.observers()));
    let mut host = shop.start_host();

    let (mut written, mut usage, started) = (Written::default(), Usage::default(), Instant::now());
    let mut pace = interval(PACE);
    while started.elapsed() < duration() {
        pace.tick().await;
        round(&shop, &hostile, &mut written, started.elapsed()).await;
        assert!(host.runs(), "{name}: the host ended:\n{}", shop.host_log());
        usage.sample(&host, started.elapsed());
    }
    check_received(name, &shop.receiver.received(), &written);
    check_tables(name, &shop, &hostile).await;
    println!(
        "{name}: {} orders, {} documents, {} hostile rows; {usage}",
        written.orders, written.documents, written.noise
    );
    usage.check_flat(name);
    assert!(host.runs() && host.stop(), "{name}:\n{}", shop.host_log());
}

fn good_observers<D: Database>(shop: &Shop<D>) -> String {
    let orders = webhook("good", "event_kind = \"created\"", &shop.receiver.url("/orders"));
    format!(
        "{orders}[[observers]]\nname = \"documents\"\nentity_type = \"Document\"\n[[observers.actions]]\ntype = \"webhook\"\n\
         url = \"{}\"\nbody_template = '{{\"id\":{{{{entity_id}}}}}}'\ngrants = {{ private_network = true }}\n",
        shop.receiver.url("/documents")
    )
}

/// Writes good and hostile rows together, and waits until the good ones have arrived.
async fn round<D: Database>(shop: &Shop<D>, hostile: &HostileWork, written: &mut Written, elapsed: Duration) {
    let orders = written.orders + 1..=written.orders + ORDERS;
    let values: Vec<String> = orders.map(|id| format!("({id}, 'new', {id})")).collect();
    let mut statements = vec![format!("INSERT INTO orders VALUES {}", values.join(", "))];
    written.orders += ORDERS;
    if elapsed * DOCUMENTS >= duration() * u32::try_from(written.documents).expect("few") {
        written.documents += 1;
        let id = written.documents;
        let body = "x".repeat(DOCUMENT_BYTES[id % DOCUMENT_BYTES.len()]);
        statements.push(format!("INSERT INTO documents VALUES ({id}, '{body}')"));
    }
    for (kind, body) in hostile.rows() {
        written.noise += 1;
        statements.push(format!("INSERT INTO noise VALUES ({}, '{kind}', '{body}')", written.noise));
    }
    shop.sql(&statements.join(";")).await;
    shop.sql(hostile.next_odd_row()).await;
    let all = written.good();
    shop.receiver.wait_until(SOON, |received| received.len() >= all).await;
}

fn check_received(name: &str, received: &[Received], written: &Written) {
    let paths = [("/orders", "/data/entity_id", written.orders), ("/documents", "/id", written.documents)];
    for (path, key, count) in paths {
        let requests = received.iter().filter(|request| request.path == path);
        let arrived: Vec<usize> = requests.map(|request| number(request, key)).collect();
        let different: BTreeSet<usize> = arrived.iter().copied().collect();
        assert_eq!(different, (1..=count).collect(), "{name}: {path}");
        assert_eq!(arrived.len(), count, "{name}: each came once to {path}");
    }
}

/// A number of the body, which may be written as a text.
fn number(request: &Received, pointer: &str) -> usize {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let found = body.pointer(pointer).map(|value| value.to_string().trim_matches('"').to_owned());
    found.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number at {pointer}: {body}"))
}

/// Nothing good was given up, and everything hostile was tried.
async fn check_tables<D: Database>(name: &str, shop: &Shop<D>, hostile: &HostileWork) {
    let given_up = "SELECT count(*) FROM observer_dlq_items WHERE observer IN ('good', 'documents')";
    assert_eq!(shop.count(given_up).await, 0, "{name}");
    for kind in hostile.kinds() {
        let tried = format!("SELECT count(*) FROM tb_observer_log WHERE observer = '{kind}'");
        assert!(shop.count(&tried).await > 0, "{name}: nothing was tried of `{kind}`:\n{}", shop.host_log());
    }
}
