//! The application: several writers that insert, update and delete orders in transactions of all kinds, and tell the
//! oracle what became of each.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::{task::JoinSet, time::sleep};

use super::{
    database::PostgresDatabase,
    oracle::{Change, Oracle, change},
};
use crate::shop::Shop;

/// Between two attempts to connect.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Writers at work.
pub(crate) struct Writers {
    tasks: JoinSet<()>,
    stopped: Arc<AtomicBool>,
}

/// What the writers of one shop share.
struct Desk {
    url: String,
    oracle: Arc<Oracle>,
    /// Before each commit, in milliseconds.
    pauses: Range<u64>,
    stopped: Arc<AtomicBool>,
    /// Keys of rows and transactions.
    next: AtomicI64,
}

/// A row that exists, and its status.
pub(super) type Row = (i64, String);

/// What one transaction did so far.
#[derive(Default)]
struct Work {
    id: i64,
    /// Takes effect with the commit.
    changes: Vec<Change>,
    /// Undone within the transaction already.
    undone: Vec<Change>,
    /// Rows that exist after the commit; those it did not touch are elsewhere.
    rows: Vec<Row>,
}

impl Writers {
    /// Starts `count` of them; each waits at random within `pauses` (milliseconds) before it commits.
    pub(crate) async fn start(
        shop: &Shop<PostgresDatabase>,
        oracle: &Arc<Oracle>,
        count: usize,
        pauses: Range<u64>,
    ) -> Self {
        shop.sql("CREATE TABLE IF NOT EXISTS ledger (id BIGINT PRIMARY KEY)").await;
        let stopped = Arc::new(AtomicBool::new(false));
        let desk = Arc::new(Desk {
            url: shop.database.cluster.url(&shop.database.name),
            oracle: Arc::clone(oracle),
            pauses,
            stopped: Arc::clone(&stopped),
            next: AtomicI64::new(1),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            tasks.spawn(write(Arc::clone(&desk)));
        }
        Self { tasks, stopped }
    }

    /// Lets each finish its transaction.
    pub(crate) async fn stop(mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a writer came to its end");
        }
    }
}

/// Writes until told to stop, over a new connection when the old one is lost.
async fn write(desk: Arc<Desk>) {
    let mut rows = Vec::new();
    while !desk.stopped.load(Ordering::Relaxed) {
        let Ok(mut connection) = PgConnection::connect(&desk.url).await else {
            sleep(PAUSE).await;
            continue;
        };
        while !desk.stopped.load(Ordering::Relaxed)
            && desk.transaction(&mut connection, &mut rows).await.is_ok()
        {}
    }
}

impl Desk {
    /// One transaction; an error when its connection can not be used any more.
    async fn transaction(&self, connection: &mut PgConnection, rows: &mut Vec<Row>) -> sqlx::Result<()> {
        let mut work = Work { id: self.next(), ..Work::default() };
        // What it may change is its own until it has ended; after an unanswered commit nobody knows these rows.
        let before = rows.split_off(rows.len().saturating_sub(4));
        let worked = self.work(connection, &mut work, before).await;
        self.oracle.undone(std::mem::take(&mut work.undone));
        if worked.is_err() || fastrand::u8(..5) == 0 {
            // The rows that it was about to change are left alone from now on: no change is ever made twice.
            self.oracle.undone(work.changes);
            worked?;
            return run(connection, "ROLLBACK").await;
        }
        let committed = run(connection, "COMMIT").await;
        match committed {
            Ok(()) => {
                self.oracle.committed(work.changes);
                rows.append(&mut work.rows);
                Ok(())
            }
            Err(error) => {
                self.oracle.unanswered(work.id, work.changes);
                Err(error)
            }
        }
    }

    async fn work(
        &self,
        connection: &mut PgConnection,
        work: &mut Work,
        before: Vec<Row>,
    ) -> sqlx::Result<()> {
        let id = work.id;
        run(connection, "BEGIN").await?;
        run(connection, &format!("INSERT INTO ledger VALUES ({id})")).await?;
        self.insert(connection, work, "t").await?;
        if fastrand::bool() {
            self.savepoint(connection, work).await?;
        }
        let (mut deleted, mut updated) = (before, Vec::new());
        if fastrand::bool() {
            updated = deleted.split_off(deleted.len() / 2);
        }
        if deleted.len() < 3 {
            work.rows.append(&mut deleted);
        }
        work.delete(connection, deleted).await?;
        work.update(connection, updated).await?;
        sleep(Duration::from_millis(fastrand::u64(self.pauses.clone()))).await;
        Ok(())
    }

    /// New rows, several in one statement.
    async fn insert(&self, connection: &mut PgConnection, work: &mut Work, mark: &str) -> sqlx::Result<()> {
        let status = format!("{mark}{}", work.id);
        let made: Vec<Row> = (0..fastrand::usize(1..=3)).map(|_| (self.next(), status.clone())).collect();
        work.changes.extend(made.iter().map(|(key, status)| change("created", *key, status)));
        let values: Vec<String> =
            made.iter().map(|(key, status)| format!("({key}, '{status}', 1)")).collect();
        run(connection, &format!("INSERT INTO orders VALUES {}", values.join(","))).await?;
        work.rows.extend(made);
        Ok(())
    }

    /// More new rows, and half of the time none after all.
    async fn savepoint(&self, connection: &mut PgConnection, work: &mut Work) -> sqlx::Result<()> {
        let (changes, rows) = (work.changes.len(), work.rows.len());
        run(connection, "SAVEPOINT before").await?;
        self.insert(connection, work, "s").await?;
        if fastrand::bool() {
            run(connection, "ROLLBACK TO before").await?;
            work.undone.extend(work.changes.drain(changes..));
            work.rows.truncate(rows);
            return Ok(());
        }
        run(connection, "RELEASE before").await
    }

    fn next(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Work {
    async fn delete(&mut self, connection: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.changes.extend(rows.iter().map(|(key, status)| change("deleted", *key, status)));
        run(connection, &format!("DELETE FROM orders WHERE id IN ({})", keys(&rows))).await
    }

    async fn update(&mut self, connection: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let status = format!("u{}", self.id);
        self.changes.extend(rows.iter().map(|(key, _)| change("updated", *key, &status)));
        let statement = format!("UPDATE orders SET status = '{status}' WHERE id IN ({})", keys(&rows));
        run(connection, &statement).await?;
        self.rows.extend(rows.into_iter().map(|(key, _)| (key, status.clone())));
        Ok(())
    }
}

pub(super) fn keys(rows: &[Row]) -> String {
    rows.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>().join(",")
}

pub(super) async fn run(connection: &mut PgConnection, statement: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}
