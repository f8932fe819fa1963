//! How long the host holds SQLite's write lock, and an application waits for its commit, whatever rows hold.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aftercommit_condition::{Condition, Row, Truth};
use aftercommit_core::{Clock as _, DeliveryId, EntityEvent, FailureClass, SystemClock};
use aftercommit_store::{
    AttemptRecord, CaptureRequest, Captures as _, ClaimRequest, Claims as _, Completion, End, HostId,
    Intake as _, NewDelivery, Plan, Planned, Schema as _, SqliteOptions, SqliteStore, TakeRequest,
    Transactions as _,
};
use rusqlite::Connection;

use crate::{delivery::millis, figure};

/// Observers whose condition looks at the whole of a row.
const OBSERVERS: usize = 20;

/// Rows, and bytes of each.
const SIZES: [(&str, u32, u32); 4] = [
    ("10,000 rows of 100 bytes", 10_000, 100),
    ("400 rows of 64 KiB", 400, 64 << 10),
    ("400 rows of 1 MiB", 400, 1 << 20),
    ("5 rows of 15 MiB", 5, 15 << 20),
];

pub(crate) async fn measure() {
    figure::section("write-lock");
    for (what, rows, bytes) in SIZES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let store = fill(&path, rows, bytes).await;
        let done = Arc::new(AtomicBool::new(false));
        let application = std::thread::spawn({
            let (path, done) = (path.clone(), Arc::clone(&done));
            move || write_rows(&path, &done)
        });
        drain(&store).await;
        done.store(true, Relaxed);
        let mut waits = application.join().unwrap();
        println!("{what}");
        for count in store.transactions() {
            println!(
                "  {:<10} {:>6} times, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; target p99 <= 5 ms",
                count.name,
                count.done,
                millis(count.p50),
                millis(count.p99),
                millis(count.longest)
            );
        }
        println!(
            "  the application's commit: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, {} of them",
            millis(figure::percentile(&mut waits, 50)),
            millis(figure::percentile(&mut waits, 99)),
            millis(figure::percentile(&mut waits, 100)),
            waits.len()
        );
    }
}

/// A database with a captured table, whose rows wait.
async fn fill(path: &Path, rows: u32, bytes: u32) -> SqliteStore {
    let options = SqliteOptions { create: true, ..SqliteOptions::default() };
    let store = SqliteStore::open(&format!("sqlite:{}", path.display()), options).await.unwrap();
    store.migrate().await.unwrap();
    let app = open(path);
    app.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT); CREATE TABLE other (id INTEGER PRIMARY KEY)",
    )
    .unwrap();
    store.add_capture(CaptureRequest::new("t", "T"), SystemClock.now()).await.unwrap();
    for _ in 0..rows {
        app.execute("INSERT INTO t (body) VALUES (printf('%.*c', ?1, 'a'))", [bytes]).unwrap();
    }
    store
}

fn open(path: &Path) -> Connection {
    let app = Connection::open(path).unwrap();
    app.busy_timeout(Duration::from_secs(5)).unwrap();
    app.pragma_update(None, "synchronous", "NORMAL").unwrap();
    app
}

/// A small commit each two milliseconds; how long each took.
fn write_rows(path: &Path, done: &AtomicBool) -> Vec<Duration> {
    let app = open(path);
    let mut waits = Vec::new();
    while !done.load(Relaxed) {
        let began = Instant::now();
        app.execute("INSERT INTO other DEFAULT VALUES", ()).unwrap();
        waits.push(began.elapsed());
        #[expect(clippy::disallowed_methods, reason = "the application writes at its own pace")]
        std::thread::sleep(Duration::from_millis(2));
    }
    waits
}

/// Each row that no condition wants goes to one observer all the same; every second delivery ends dead.
struct Looking(Vec<Condition>);

impl Plan for Looking {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let row = Row::from(event);
        assert!(self.0.iter().all(|condition| condition.evaluate(&row) == Ok(Truth::False)));
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "watcher", "hook"),
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            priority: 100,
            max_attempts: 3,
            ordering_key: None,
            hold: false,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

async fn drain(store: &SqliteStore) {
    let condition = Condition::parse("body LIKE '%a_b%'").unwrap();
    let plan = Arc::new(Looking(vec![condition; OBSERVERS]));
    let host = HostId::random();
    loop {
        let request = TakeRequest {
            host,
            limit: 500,
            max_bytes: 64 << 20,
            own: 100,
            own_bytes: usize::MAX,
            now: SystemClock.now(),
        };
        let mut taken = store.take(request, Arc::<Looking>::clone(&plan)).await.unwrap();
        let request = ClaimRequest { max_bytes: 64 << 20, ..ClaimRequest::new(host, 500, SystemClock.now()) };
        taken.owned.extend(store.claim(request).await.unwrap());
        let ends = taken.owned.iter().enumerate().map(|(n, owned)| end(owned.id, owned.attempt, n % 2 == 0));
        store.complete(host, ends.collect()).await.unwrap();
        if !taken.more && taken.owned.is_empty() {
            return;
        }
    }
}

fn end(id: DeliveryId, attempt: u32, is_dead: bool) -> Completion {
    let record = AttemptRecord {
        max_attempts: 3,
        class: is_dead.then_some(FailureClass::Permanent),
        code: is_dead.then(|| "http_status".to_owned()),
        message: "an answer".to_owned(),
        http_status: Some(404),
        started_at: SystemClock.now(),
        duration: Duration::from_millis(1),
        plugin: None,
        plugin_digest: None,
    };
    let end = if is_dead { End::Dead { action: serde_json::json!({}) } } else { End::Succeeded };
    Completion { id, attempt, end, record }
}
