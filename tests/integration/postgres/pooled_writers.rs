//! The application behind a pooler: several writers share a few long-lived sessions, a transaction at a time, and
//! change orders in statements of one row, of 50 and of thousands.
//!
//! The session that writes one row has just written thousands, so a cost or a state that capture leaves in a session is
//! paid by the next transaction in it. The statements are drawn with a seed.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use fastrand::Rng;
use sqlx::{Connection as _, PgConnection};
use tokio::{sync::Mutex, task::JoinSet, time::sleep};

use super::{
    database::PostgresDatabase,
    oracle::{Change, Oracle, change},
    writers::{PAUSE, Row, keys, run},
};
use crate::shop::Shop;

const WRITERS: usize = 3;
const SESSIONS: usize = 2;

/// The first key of rows and transactions: no other writer reaches it.
const FIRST: i64 = 10_000_000;

/// How many rows a statement changes, and how many statements of each kind do so for each writer. Besides, one changes the most.
const SIZES: [(usize, usize); 2] = [(1, 4), (50, 2)];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Insert,
    Copy,
    /// Half of the rows exist already, where the writer has as many.
    Upsert,
    Update,
    Delete,
}

const KINDS: [Kind; 5] = [Kind::Insert, Kind::Copy, Kind::Upsert, Kind::Update, Kind::Delete];

/// Writers at work.
pub(crate) struct PooledWriters(JoinSet<()>);

/// What they share.
struct Pool {
    url: String,
    oracle: Arc<Oracle>,
    /// Empty after a session was lost, until it is used again.
    sessions: Vec<Mutex<Option<PgConnection>>>,
    /// Keys of rows and transactions.
    next: AtomicI64,
}

/// What one transaction did so far.
struct Work<'a> {
    pool: &'a Pool,
    id: i64,
    statements: usize,
    /// Takes effect with the commit.
    changes: Vec<Change>,
    /// Undone within the transaction already.
    undone: Vec<Change>,
    /// Rows of this writer that exist.
    rows: Vec<Row>,
}

impl PooledWriters {
    /// Starts them; each makes the statements of its own shuffled deck, the largest of so many rows.
    pub(crate) async fn start(
        shop: &Shop<PostgresDatabase>,
        oracle: &Arc<Oracle>,
        seed: u64,
        largest: usize,
    ) -> Self {
        shop.sql("CREATE TABLE IF NOT EXISTS ledger (id BIGINT PRIMARY KEY)").await;
        let pool = Arc::new(Pool {
            url: shop.database.cluster.url(&shop.database.name),
            oracle: Arc::clone(oracle),
            sessions: (0..SESSIONS).map(|_| Mutex::default()).collect(),
            next: AtomicI64::new(FIRST),
        });
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let rng = Rng::with_seed(seed.wrapping_add(writer as u64));
            tasks.spawn(write(Arc::clone(&pool), writer, rng, largest));
        }
        Self(tasks)
    }

    /// Waits until each has made all its statements.
    pub(crate) async fn finish(mut self) {
        while let Some(ended) = self.0.join_next().await {
            ended.expect("a writer came to its end");
        }
    }
}

async fn write(pool: Arc<Pool>, writer: usize, mut rng: Rng, largest: usize) {
    let sizes = SIZES.into_iter().chain([(largest, 1)]).flat_map(|(rows, times)| vec![rows; times]);
    let mut deck: Vec<(Kind, usize)> = sizes.flat_map(|rows| KINDS.map(|kind| (kind, rows))).collect();
    rng.shuffle(&mut deck);
    let (mut rows, mut turn) = (Vec::new(), writer);
    while !deck.is_empty() {
        let statements = deck.split_off(deck.len().saturating_sub(rng.usize(1..=4)));
        pool.transaction(turn % SESSIONS, statements, &mut rows, &mut rng).await;
        turn += 1;
    }
}

impl Pool {
    /// One transaction, in the session whose turn it is.
    async fn transaction(
        &self,
        session: usize,
        statements: Vec<(Kind, usize)>,
        rows: &mut Vec<Row>,
        rng: &mut Rng,
    ) {
        let mut session = self.sessions[session].lock().await;
        let mut connection = match session.take() {
            Some(connection) => connection,
            None => self.connect().await,
        };
        let mut work = Work {
            pool: self,
            id: self.next(),
            statements: 0,
            changes: Vec::new(),
            undone: Vec::new(),
            rows: std::mem::take(rows),
        };
        let worked = work.all(&mut connection, statements, rng).await;
        self.oracle.undone(work.undone);
        // Without a confirmed commit the rows that it changed are left alone from now on: no change is ever made twice.
        let mine = format!("t{}s", work.id);
        let untouched = |rows: Vec<Row>| rows.into_iter().filter(|(_, status)| !status.starts_with(&mine));
        if worked.is_err() || rng.u8(..6) == 0 {
            self.oracle.undone(work.changes);
            rows.extend(untouched(work.rows));
            if worked.is_ok() && run(&mut connection, "ROLLBACK").await.is_ok() {
                *session = Some(connection);
            }
        } else if run(&mut connection, "COMMIT").await.is_ok() {
            self.oracle.committed(work.changes);
            *rows = work.rows;
            *session = Some(connection);
        } else {
            self.oracle.unanswered(work.id, work.changes);
            rows.extend(untouched(work.rows));
        }
    }

    async fn connect(&self) -> PgConnection {
        loop {
            match PgConnection::connect(&self.url).await {
                Ok(connection) => return connection,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn next(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Work<'_> {
    async fn all(
        &mut self,
        connection: &mut PgConnection,
        statements: Vec<(Kind, usize)>,
        rng: &mut Rng,
    ) -> sqlx::Result<()> {
        run(connection, "BEGIN").await?;
        run(connection, &format!("INSERT INTO ledger VALUES ({})", self.id)).await?;
        for (kind, count) in statements {
            self.statements += 1;
            let changes = self.changes.len();
            run(connection, "SAVEPOINT before").await?;
            let after = self.statement(connection, kind, count).await?;
            if rng.u8(..5) == 0 {
                run(connection, "ROLLBACK TO before").await?;
                self.undone.extend(self.changes.drain(changes..));
            } else {
                run(connection, "RELEASE before").await?;
                self.rows.extend(after);
            }
        }
        Ok(())
    }

    /// Returns the rows that exist because of it.
    async fn statement(
        &mut self,
        connection: &mut PgConnection,
        kind: Kind,
        count: usize,
    ) -> sqlx::Result<Vec<Row>> {
        let status = format!("t{}s{}", self.id, self.statements);
        let existing = match kind {
            Kind::Insert | Kind::Copy => 0,
            Kind::Upsert => count / 2,
            Kind::Update | Kind::Delete => count,
        };
        let before = self.rows.split_off(self.rows.len().saturating_sub(existing));
        if matches!(kind, Kind::Delete) {
            self.changes.extend(before.iter().map(|(key, status)| change("deleted", *key, status)));
            if !before.is_empty() {
                run(connection, &format!("DELETE FROM orders WHERE id IN ({})", keys(&before))).await?;
            }
            return Ok(Vec::new());
        }
        let new = if matches!(kind, Kind::Update) { 0 } else { count - before.len() };
        let created: Vec<i64> = (0..new).map(|_| self.pool.next()).collect();
        self.changes.extend(before.iter().map(|(key, _)| change("updated", *key, &status)));
        self.changes.extend(created.iter().map(|key| change("created", *key, &status)));
        let keys = before.into_iter().map(|(key, _)| key).chain(created);
        let after: Vec<Row> = keys.map(|key| (key, status.clone())).collect();
        if !after.is_empty() {
            store(connection, kind, &after, &status).await?;
        }
        Ok(after)
    }
}

/// Makes the rows be as given, in one statement.
async fn store(connection: &mut PgConnection, kind: Kind, rows: &[Row], status: &str) -> sqlx::Result<()> {
    if matches!(kind, Kind::Copy) {
        let lines: Vec<String> = rows.iter().map(|(key, status)| format!("{key}\t{status}\t1\n")).collect();
        let mut copy = connection.copy_in_raw("COPY orders FROM STDIN").await?;
        copy.send(lines.concat().as_bytes()).await?;
        return copy.finish().await.map(drop);
    }
    if matches!(kind, Kind::Update) {
        let update = format!("UPDATE orders SET status = '{status}' WHERE id IN ({})", keys(rows));
        return run(connection, &update).await;
    }
    let values: Vec<String> = rows.iter().map(|(key, status)| format!("({key}, '{status}', 1)")).collect();
    let conflict = match kind {
        Kind::Upsert => " ON CONFLICT (id) DO UPDATE SET status = excluded.status",
        _ => "",
    };
    run(connection, &format!("INSERT INTO orders VALUES {}{conflict}", values.join(","))).await
}
