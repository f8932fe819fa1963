//! Hosts under good and hostile work at once: every good delivery arrives, and memory and open files stay as they are.
//!
//! `SOAK_SECONDS` says for how long; two minutes is the default. `cargo xtask test` runs this in a step of its own, and
//! `cargo xtask soak` for an hour.

mod good_work;
mod hostile_work;
mod unruly_servers;
mod usage;

use std::time::{Duration, Instant};

use tokio::time::interval;

use self::{
    good_work::GoodWork,
    hostile_work::HostileWork,
    unruly_servers::UnrulyServers,
    usage::{Quarter, Sample, Usage},
};
use crate::{
    host_process::HostProcess,
    shop::{Database, Shop},
};

const DEFAULT_SECONDS: u64 = 120;
const QUARTERS: u32 = 4;

/// Between two rounds of rows; a round that takes longer is followed by the next at once.
const PACE: Duration = Duration::from_millis(500);

/// Rounds of good work alone at the end of a quarter; what is measured is the least that the host takes meanwhile.
const CALM_ROUNDS: usize = 10;

/// Until what is under way has ended, on a busy machine.
const SOON: Duration = Duration::from_mins(2);

/// What allocators are free to keep is no leak, and would hide one: mimalloc gives pages back at once, and the C library, from which SQLite
/// takes its memory, has one arena for all threads and returns what is free at its end.
const FRUGAL: [(&str, &str); 3] =
    [("MIMALLOC_PURGE_DELAY", "0"), ("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// Both at once: a small machine has no two minutes for each.
#[tokio::test(flavor = "multi_thread")]
async fn good_deliveries_arrive_and_nothing_grows_beside_hostile_work() {
    let seconds = std::env::var("SOAK_SECONDS").ok();
    let seconds = seconds.map_or(DEFAULT_SECONDS, |text| text.parse().expect("a number of seconds"));
    let (servers, lasts) = (UnrulyServers::start().await, Duration::from_secs(seconds));
    let config = hostile_work::config(&servers);
    let (on_sqlite, on_postgres) = (Shop::open(&config).await, Shop::on_postgres(&config).await);
    let soak_sqlite = async {
        let hostile = HostileWork::new(&servers, hostile_work::ODD_ROWS_ON_SQLITE);
        Soak::start("SQLite", on_sqlite, hostile).await.run(lasts).await;
    };
    let soak_postgres = async {
        let hostile = HostileWork::new(&servers, hostile_work::ODD_ROWS_ON_POSTGRES);
        Soak::start("PostgreSQL", on_postgres, hostile).await.run(lasts).await;
    };
    tokio::join!(soak_sqlite, soak_postgres);
}

/// One host, and the application whose database it observes.
struct Soak<D> {
    name: &'static str,
    shop: Shop<D>,
    host: HostProcess,
    good: GoodWork,
    hostile: HostileWork,
}

impl<D: Database> Soak<D> {
    async fn start(name: &'static str, mut shop: Shop<D>, hostile: HostileWork) -> Self {
        for (variable, value) in FRUGAL {
            shop.set_env(variable, value);
        }
        shop.sql("CREATE TABLE documents (id INTEGER PRIMARY KEY, body TEXT NOT NULL)").await;
        shop.sql("CREATE TABLE noise (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL)").await;
        shop.sql("INSERT INTO noise VALUES (0, 'large', '')").await;
        shop.capture("documents", "Document", &[]);
        shop.capture("noise", "Noise", &[]);
        std::fs::write(shop.path(hostile_work::HEAVY), hostile_work::heavy()).expect("the folder is ours");
        shop.observe(&format!("{}{}", GoodWork::observers(&shop), hostile.observers()));
        let host = shop.start_host();
        Self { name, shop, host, good: GoodWork::default(), hostile }
    }

    async fn run(mut self, lasts: Duration) {
        let (started, mut usage) = (Instant::now(), Usage::default());
        for quarter in 1..=QUARTERS {
            let quarter = self.quarter(started, lasts, quarter).await;
            usage.0.push(quarter);
        }
        println!("{}: {} hostile rows\n{usage}", self.name, self.hostile.written());
        self.good.check(self.name, &self.shop).await;
        for kind in self.hostile.kinds() {
            let tried = format!("SELECT count(*) FROM tb_observer_log WHERE observer = '{kind}'");
            assert!(self.shop.count(&tried).await > 0, "{}: nothing was tried of `{kind}`", self.name);
        }
        usage.check_flat(self.name);
        // It ends in the middle of hostile work.
        self.set_enabled(true).await;
        self.round(1.0, true).await;
        assert!(self.host.stop(), "{}: {}", self.name, self.shop.end_of_host_log());
    }

    /// All work until the quarter is over, then good work alone.
    async fn quarter(&mut self, started: Instant, lasts: Duration, quarter: u32) -> Quarter {
        let (written, attempts) = (self.good.written(), self.attempts().await);
        self.set_enabled(true).await;
        let (mut pace, mut busy) = (interval(PACE), Vec::new());
        while started.elapsed() * QUARTERS < lasts * quarter || busy.is_empty() {
            pace.tick().await;
            self.round(started.elapsed().as_secs_f64() / lasts.as_secs_f64(), true).await;
            busy.push(Sample::of(&self.host));
        }
        self.set_enabled(false).await;
        self.shop
            .eventually(SOON, "what ran has ended", async |shop| {
                shop.count("SELECT count(*) FROM observer_deliveries WHERE state = 'running'").await == 0
            })
            .await;
        let mut calm = Sample::of(&self.host);
        for _ in 0..CALM_ROUNDS {
            pace.tick().await;
            self.round(0.0, false).await;
            calm = calm.least(Sample::of(&self.host));
        }
        Quarter {
            good: self.good.written() - written,
            attempts: self.attempts().await - attempts,
            busy,
            calm,
        }
    }

    /// Writes good and hostile rows together, and waits until the good ones have arrived. `part` of all the time is over.
    async fn round(&mut self, part: f64, with_hostile: bool) {
        let mut statements = self.good.next_rows(part);
        if with_hostile {
            statements.push(self.hostile.next_rows());
        }
        self.shop.sql(&statements.join(";")).await;
        if with_hostile {
            self.shop.sql(&self.hostile.next_odd_row()).await;
        }
        let missing = self.good.arrive(&self.shop.receiver).await;
        let what = || format!("{}: {missing:?} did not arrive:\n{}", self.name, self.shop.end_of_host_log());
        assert!(missing.is_empty(), "{}", what());
        assert!(self.host.runs(), "{}: the host ended:\n{}", self.name, self.shop.end_of_host_log());
    }

    /// Of all that is hostile. What waits stays where it is meanwhile.
    async fn set_enabled(&self, enabled: bool) {
        self.shop
            .sql(&format!(
                "UPDATE tb_observer SET enabled = {enabled} WHERE name NOT IN ('orders', 'documents')"
            ))
            .await;
    }

    /// On record so far.
    async fn attempts(&self) -> i64 {
        self.shop.count("SELECT count(*) FROM tb_observer_log").await
    }
}
