//! PostgreSQL: a server of its own with the settings that a new one has, its commits synced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use aftercommit_tests::Cluster;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::runtime::{Builder, Runtime};

use crate::{
    database::{Application, Database, Server},
    delivery::{ROUNDS, drain, latency, noop, stream, webhook},
    figure::{self, Figure},
    peers::Peers,
    receiver::Receiver,
    shop::Shop,
    webhook::{Native, requests},
};

const ORDERS: &str = "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text, \
                      country text, status text, total numeric, note text)";
const INSERT_MANY: &str = "INSERT INTO orders (customer, country, status, total, note)
    SELECT 'customer ' || i, 'AT', 'pending', i + 0.25, 'a note of ordinary length for order ' || i
    FROM generate_series(1, $1) AS i";
pub(crate) const INSERT_ONE: &str = "INSERT INTO orders (customer, country, status, total, note) VALUES
    ('customer 7', 'AT', 'pending', 150.25, 'a note of ordinary length for order 7') RETURNING id";

const NOOPS: usize = 100_000;
const WEBHOOKS: usize = 30_000;
const STREAMED: usize = 50_000;

pub(crate) async fn measure(server: &Postgres) {
    figure::section("postgres-rates");
    let peers = Peers::installed();
    let mut receiver = Receiver::start();
    let new = || Figure::new("/s");
    let (mut plain, mut captured, mut silent) = (new(), new(), new());
    let (mut drained, mut streamed, mut graphile, mut river) = (new(), new(), new(), new());
    let (mut webhooks, mut graphile_posts, mut native16) = (new(), new(), new());
    for _ in 0..ROUNDS {
        plain.add(server.inserts(None).await);
        captured.add(server.inserts(Some(true)).await);
        silent.add(server.inserts(Some(false)).await);
        peers.river(server, NOOPS).into_iter().for_each(|rate| river.add(rate));
        drained.add(drain(server, &noop(), NOOPS).await);
        peers.graphile(server, NOOPS, None).into_iter().for_each(|rate| graphile.add(rate));
        streamed.add(stream(server, &noop(), STREAMED).await);
        let url = receiver.url();
        peers.graphile(server, WEBHOOKS, Some(&url)).into_iter().for_each(|rate| graphile_posts.add(rate));
        webhooks.add(drain(server, &webhook(&url), WEBHOOKS).await);
        native16.add(requests(&Arc::new(Native::new(&receiver)), 16, WEBHOOKS).await);
        receiver.report();
    }
    let plain = Some(("without triggers", &plain));
    figure::print("pgbench, single-row inserts, captured", &captured, plain, None);
    figure::print("the same with --no-notify", &silent, plain, None);
    let river = Some(("River for Rust", &river));
    figure::print("no-op deliveries, 100k waiting", &drained, river, Some(">= 23000 /s, >= 100 %"));
    let graphile = Some(("Graphile Worker", &graphile));
    figure::print("the same", &drained, graphile, None);
    figure::print("no-op deliveries, while 50k are inserted", &streamed, None, None);
    let posts = Some(("Graphile Worker, unsigned", &graphile_posts));
    figure::print("signed webhooks, 30k waiting", &webhooks, posts, Some(">= 200 %"));
    let native = Some(("native client alone, 16 at once", &native16));
    figure::print("the same", &webhooks, native, None);
    latency(server, &mut receiver).await;
}

/// A server, and how many databases it has had.
pub(crate) struct Postgres {
    cluster: Cluster,
    databases: AtomicU32,
}

struct Fresh {
    url: String,
}

/// A connection, and what drives it.
pub(crate) struct Client {
    connection: PgConnection,
    runtime: Runtime,
}

/// With how many clients pgbench runs.
const PGBENCH: [&str; 4] = ["--no-vacuum", "--client=4", "--jobs=2", "--protocol=prepared"];

/// How pgbench runs.
#[derive(Clone, Copy)]
pub(crate) struct Pgbench<'a> {
    /// The transaction of each client; without one, that of TPC-B.
    pub(crate) script: Option<&'a str>,
    pub(crate) seconds: u64,
    /// Whether commits wait for the disk.
    pub(crate) synced: bool,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let cluster = Cluster::start_with(&["max_connections=200", "shared_buffers=512MB"]);
        Self { cluster, databases: AtomicU32::new(0) }
    }

    /// Rows a second that pgbench inserts, each in its own transaction; captured with a notification or without one.
    async fn inserts(&self, captured: Option<bool>) -> f64 {
        let shop = Shop::open(self).await;
        if let Some(notify) = captured {
            shop.capture(notify).await;
        }
        self.pgbench(&shop.url(), Pgbench { script: Some(INSERT_ONE), seconds: 4, synced: true })
    }

    /// Transactions a second.
    pub(crate) fn pgbench(&self, url: &str, run: Pgbench<'_>) -> f64 {
        let script = tempfile::NamedTempFile::new().unwrap();
        let mut pgbench = self.cluster.program("pgbench");
        pgbench.args(PGBENCH).arg(format!("--time={}", run.seconds));
        if let Some(text) = run.script {
            std::fs::write(script.path(), text).unwrap();
            pgbench.arg("-f").arg(script.path());
        }
        if !run.synced {
            pgbench.env("PGOPTIONS", "-c synchronous_commit=off");
        }
        let output = pgbench.arg(url).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Makes and fills the tables of TPC-B.
    pub(crate) fn fill_tpcb(&self, url: &str, scale: u32) {
        let mut pgbench = self.cluster.program("pgbench");
        let filled = pgbench.args(["--initialize", "--quiet"]).arg(format!("--scale={scale}")).arg(url);
        let output = filled.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The URL of a new, empty database.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.create())
    }

    /// The name of a new, empty database.
    fn create(&self) -> String {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let created = self.cluster.program("createdb").arg(&name).status().unwrap();
        assert!(created.success());
        name
    }
}

impl Server for Postgres {
    fn fresh(&self) -> Box<dyn Database> {
        let shop = Fresh { url: self.url() };
        let url = shop.url.clone();
        on_thread(move || Client::connect(&url).run(ORDERS));
        Box::new(shop)
    }
}

impl Database for Fresh {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn connect(&self) -> Box<dyn Application> {
        let url = self.url.clone();
        on_thread(move || Box::new(Client::connect(&url)))
    }
}

/// Holds a snapshot of a database until it is dropped.
pub(crate) fn hold_snapshot(url: &str) -> Client {
    let url = url.to_owned();
    on_thread(move || {
        let mut client = Client::connect(&url);
        client.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders");
        client
    })
}

/// Runs statements of the application.
pub(crate) fn run(url: &str, statements: &str) {
    let (url, statements) = (url.to_owned(), statements.to_owned());
    on_thread(move || Client::connect(&url).run(&statements));
}

/// A runtime can not be entered from a thread that drives another.
pub(crate) fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

impl Client {
    pub(crate) fn connect(url: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(PgConnection::connect(url)).unwrap();
        Self { connection, runtime }
    }

    pub(crate) fn run(&mut self, statements: &str) {
        let run = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection);
        self.runtime.block_on(run).unwrap();
    }

    /// How long a statement takes; nothing if the session's `statement_timeout` ended it.
    pub(crate) fn time(&mut self, statement: &str) -> Option<Duration> {
        const CANCELED: &str = "57014";
        let started = Instant::now();
        let run = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.connection);
        match self.runtime.block_on(run) {
            Ok(_) => Some(started.elapsed()),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(CANCELED) => None,
            Err(error) => panic!("{error}\n{statement}"),
        }
    }
}

impl Application for Client {
    fn insert_many(&mut self, rows: usize) {
        let insert = sqlx::query(INSERT_MANY).bind(i64::try_from(rows).unwrap());
        self.runtime.block_on(insert.execute(&mut self.connection)).unwrap();
    }

    fn insert_one(&mut self) -> u64 {
        let insert = sqlx::query(INSERT_ONE).fetch_one(&mut self.connection);
        let id: i64 = self.runtime.block_on(insert).unwrap().get(0);
        u64::try_from(id).unwrap()
    }

    fn count(&mut self, statement: &str) -> usize {
        let count = sqlx::query(AssertSqlSafe(statement)).fetch_one(&mut self.connection);
        let count: i64 = self.runtime.block_on(count).unwrap().get(0);
        usize::try_from(count).unwrap()
    }
}
