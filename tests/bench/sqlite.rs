//! SQLite: each database is a file in a folder of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    database::{Application, Database, Server},
    delivery::{ROUNDS, drain, inserts, latency, noop, stream, webhook},
    figure::{self, Figure},
    receiver::Receiver,
    shop::Shop,
    webhook::{Native, requests},
};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, country TEXT, status TEXT, \
                      total NUMERIC, note TEXT)";
const INSERT_MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    INSERT INTO orders (customer, country, status, total, note)
    SELECT 'customer ' || i, 'AT', 'pending', i + 0.25, 'a note of ordinary length for order ' || i FROM n";
const INSERT_ONE: &str = "INSERT INTO orders (customer, country, status, total, note) VALUES
    ('customer 7', 'AT', 'pending', 150.25, 'a note of ordinary length for order 7')";

const ROWS: usize = 20_000;

const TABLES: usize = 10;
const COLUMNS: usize = 20;
const OPENINGS: u32 = 200;

pub(crate) struct Sqlite;

struct File(TempDir);

pub(crate) async fn measure() {
    figure::section("sqlite");
    let mut receiver = Receiver::start();
    let (mut plain, mut captured) = (Figure::new("/s"), Figure::new("/s"));
    let (mut drained, mut streamed) = (Figure::new("/s"), Figure::new("/s"));
    let (mut webhooks, mut native16) = (Figure::new("/s"), Figure::new("/s"));
    let (mut opened, mut opened_captured) = (Figure::new("ms"), Figure::new("ms"));
    for _ in 0..ROUNDS {
        plain.add(inserts(&Sqlite, false).await);
        captured.add(inserts(&Sqlite, true).await);
        opened.add(opening(false).await);
        opened_captured.add(opening(true).await);
        drained.add(drain(&Sqlite, &noop(), ROWS).await);
        streamed.add(stream(&Sqlite, &noop(), ROWS).await);
        // The shop's engine has installed the provider of cryptography.
        native16.add(requests(&Arc::new(Native::new(&receiver)), 16, ROWS / 2).await);
        webhooks.add(drain(&Sqlite, &webhook(&receiver.url()), ROWS).await);
    }
    let plain = Some(("without triggers", &plain));
    figure::print("single-row inserts, captured", &captured, plain, Some(">= 35 %"));
    let opened = Some(("without triggers", &opened));
    figure::print("open and insert, ten captured tables", &opened_captured, opened, Some("<= 2 ms"));
    let inserts = Some(("captured single-row inserts", &captured));
    figure::print("no-op deliveries, 20k waiting", &drained, inserts, Some(">= 10000 /s"));
    figure::print("no-op deliveries, while 20k are inserted", &streamed, inserts, Some(">= 10000 /s"));
    let native = Some(("native client alone, 16 at once", &native16));
    figure::print("signed webhooks, 20k waiting", &webhooks, native, None);
    latency(&Sqlite, &mut receiver).await;
}

/// Milliseconds until a new connection has inserted a row, where there are ten tables of twenty columns: a connection reads
/// the text of every trigger before its first statement.
async fn opening(captured: bool) -> f64 {
    let shop = Shop::open(&Sqlite).await;
    let path = PathBuf::from(shop.url().trim_start_matches("sqlite:"));
    let columns: Vec<_> = (1..=COLUMNS).map(|n| format!("column_{n} TEXT")).collect();
    let columns = columns.join(", ");
    for table in 0..TABLES {
        let create = format!("CREATE TABLE wide_{table} (id INTEGER PRIMARY KEY, {columns})");
        open(&path).execute_batch(&create).unwrap();
        if captured {
            shop.capture_table(&format!("wide_{table}"), &format!("Wide{table}"), &[], true).await;
        }
    }
    let started = Instant::now();
    for _ in 0..OPENINGS {
        open(&path).execute("INSERT INTO wide_1 (column_1) VALUES ('a text')", ()).unwrap();
    }
    let each = started.elapsed() / OPENINGS;
    assert_eq!(shop.waiting().await, if captured { u64::from(OPENINGS) } else { 0 });
    each.as_secs_f64() * 1e3
}

/// The application's commits are not synced one by one: what is measured is not the disk.
fn open(path: &Path) -> Connection {
    let app = Connection::open(path).unwrap();
    app.busy_timeout(Duration::from_secs(30)).unwrap();
    app.pragma_update(None, "synchronous", "NORMAL").unwrap();
    app
}

impl Server for Sqlite {
    fn fresh(&self) -> Box<dyn Database> {
        let file = File(tempfile::tempdir().unwrap());
        file.open().execute_batch(ORDERS).unwrap();
        Box::new(file)
    }
}

impl File {
    fn path(&self) -> PathBuf {
        self.0.path().join("shop.db")
    }

    fn open(&self) -> Connection {
        open(&self.path())
    }
}

impl Database for File {
    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    fn connect(&self) -> Box<dyn Application> {
        Box::new(self.open())
    }
}

impl Application for Connection {
    fn insert_many(&mut self, rows: usize) {
        self.prepare_cached(INSERT_MANY).unwrap().execute([i64::try_from(rows).unwrap()]).unwrap();
    }

    fn insert_one(&mut self) -> u64 {
        self.prepare_cached(INSERT_ONE).unwrap().execute(()).unwrap();
        u64::try_from(self.last_insert_rowid()).unwrap()
    }

    fn count(&mut self, statement: &str) -> usize {
        let count: i64 = self.query_row(statement, (), |row| row.get(0)).unwrap();
        usize::try_from(count).unwrap()
    }
}
