//! The connections of one process, and the one function for transactions.
//!
//! Durability: the host's own transactions do not wait until their commit is on disk ([`Sync::Later`]). A server that
//! crashes may lose the last of them, always from the end: inbox rows come back, or deliveries that had ended are live
//! again, and run again with the same id: at-least-once, as promised. The application's commit keeps the durability
//! that the application chose. What a person was told is done ([`Sync::Now`]) is on disk when the call returns.

use std::{
    marker::PhantomData,
    pin::Pin,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Transaction,
    pool::{PoolConnection, PoolOptions},
    postgres::PgConnectOptions,
};

use super::{PostgresOptions, failure, statement::statements, url::Server};
use crate::{Result, StoreError};

/// How often a transaction is run when others are in its way.
const TRIES: u32 = 5;

/// Between two runs of a transaction; grows with each.
const PAUSE: Duration = Duration::from_millis(5);

/// What keeps plans good for tables that are empty at one moment and have a million rows at the next: the server makes
/// a plan once and keeps it. So no table is read as a whole where there is an index, dead rows and all. And no plan is
/// compiled, which takes longer than any of these statements.
const SETTINGS: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

/// Before it, statement triggers on partitioned tables had no transition tables of all partitions, among others.
const OLDEST_SERVER: i32 = 140_000;

statements! {
    SERVER_VERSION = "-- server_version
SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS name";
}

/// How durable a write is when its call returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sync {
    /// It survives the host; after a crash of the server it may have to be done again.
    Later,
    /// It survives a crash of the server.
    Now,
}

/// A step of a transaction, within the life of what it borrows.
pub(super) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// The connections of one process.
pub(super) struct Connections {
    database: String,
    schema: String,
    pool: PgPool,
    pooled: bool,
    begin_later: String,
    begin_now: String,
    begin_read: String,
}

impl Connections {
    pub(super) async fn open(server: Server, options: &PostgresOptions) -> Result<Self> {
        let path = search_path(&options.schema);
        let connect = if options.pooled {
            // A pooler knows no options at the start of a session, and gives each transaction to any session.
            server.options.clone().extra_float_digits(None)
        } else {
            server.options.clone().options([("search_path", path.as_str())]).options(SETTINGS)
        };
        let database = server.name();
        first_look(&database, &connect, options.connect_timeout).await?;
        let pool = PoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(options.connect_timeout)
            // What a test would find, the transaction itself finds, and is run again.
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        let mut each = String::new();
        if options.pooled {
            each = format!("; SET LOCAL search_path TO {path}");
            for (name, value) in SETTINGS {
                each.extend(["; SET LOCAL ", name, " TO ", value]);
            }
        }
        Ok(Self {
            database,
            schema: options.schema.clone(),
            pool,
            pooled: options.pooled,
            begin_later: format!("BEGIN; SET LOCAL synchronous_commit TO off{each}"),
            begin_now: format!("BEGIN{each}"),
            begin_read: format!("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY{each}"),
        })
    }

    /// As it appears in messages.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// The schema of the host's tables.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// To read one thing.
    pub(super) async fn read(&self) -> Result<Session<'static>> {
        if self.pooled {
            return self.read_transaction().await;
        }
        let connection = self.pool.acquire().await.map_err(|error| self.unopened(&error))?;
        Ok(Session::new(Held::Plain(connection), true))
    }

    /// To read several things of one moment.
    pub(super) async fn read_transaction(&self) -> Result<Session<'static>> {
        self.begin(&self.begin_read).await
    }

    /// The one way to write: runs `work` in a transaction with this name, and runs it again, from its start, when it
    /// failed because of other transactions. What `work` does must therefore be in the transaction only.
    pub(super) async fn write<'a, T, F>(&self, name: &'static str, sync: Sync, work: F) -> Result<T>
    where
        T: Send,
        F: for<'c> Fn(&'c mut Session<'a>) -> Work<'c, T> + Send + std::marker::Sync,
    {
        let begin = if sync == Sync::Later { &self.begin_later } else { &self.begin_now };
        let mut tries = 1;
        loop {
            let asked = Instant::now();
            let mut session = self.begin(begin).await?;
            let waited_us = micros(asked);
            let working = Instant::now();
            let result = match work(&mut session).await {
                Ok(done) => session.commit(name).await.map(|()| done),
                Err(error) => Err(error),
            };
            let ok = result.is_ok();
            tracing::trace!(transaction = name, tries, waited_us, took_us = micros(working), ok, "write");
            match result {
                Err(StoreError::Conflict { statement, why }) if tries < TRIES => {
                    tracing::debug!(transaction = name, statement, why, tries, "in conflict, runs again");
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// Connections that the server closed since they were used last are found here, and replaced.
    async fn begin<'a>(&self, statement: &str) -> Result<Session<'a>> {
        let mut left = self.pool.options().get_max_connections();
        loop {
            match self.pool.begin_with(AssertSqlSafe(statement)).await {
                Ok(transaction) => return Ok(Session::new(Held::Within(transaction), !self.pooled)),
                Err(error) if left > 0 && is_stale(&error) => left -= 1,
                Err(error) => return Err(self.unopened(&error)),
            }
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    fn unopened(&self, error: &sqlx::Error) -> StoreError {
        StoreError::Unreachable { database: self.database.clone(), why: failure::reason(error) }
    }
}

/// Where our own names are found, and nobody else's before them: functions and operators come first from PostgreSQL
/// itself, which needs no mention, and temporary tables of the session come last.
pub(super) fn search_path(schema: &str) -> String {
    format!("{},pg_temp", identifier(schema))
}

/// An identifier, quoted.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Connects once before the pool does, which would not tell why it can not.
async fn first_look(database: &str, connect: &PgConnectOptions, timeout: Duration) -> Result<()> {
    let unreachable = |why: String| StoreError::Unreachable { database: database.to_owned(), why };
    let connection = tokio::time::timeout(timeout, PgConnection::connect_with(connect))
        .await
        .map_err(|_| unreachable(format!("it did not answer within {} s", timeout.as_secs())))?
        .map_err(|error| unreachable(failure::reason(&error)))?;
    let mut session = Session::new(Held::Alone(connection), false);
    let Some(record) = SERVER_VERSION.call().optional(&mut session).await? else {
        return Err(unreachable("it does not tell its version".to_owned()));
    };
    let (number, name): (i32, String) = (record.get("number")?, record.get("name")?);
    if let Held::Alone(connection) = session.held {
        // It did what it was for; how it ends does not matter.
        let _ = connection.close().await;
    }
    if number < OLDEST_SERVER {
        return Err(StoreError::Refused(format!(
            "the server of {database} is PostgreSQL {name}; aftercommit needs 14 or later"
        )));
    }
    Ok(())
}

/// Whether the connection was gone before anything was done with it.
fn is_stale(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || failure::code(error).is_some_and(|code| code == "57P01")
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

enum Held {
    Plain(PoolConnection<Postgres>),
    Within(Transaction<'static, Postgres>),
    Alone(PgConnection),
}

/// A connection in use, within a transaction or not. Dropping it undoes what was not committed.
///
/// `'a` is what the work of a transaction may borrow: it lives longer than each run of the work.
pub(super) struct Session<'a> {
    held: Held,
    keeps_statements: bool,
    borrowed: PhantomData<&'a ()>,
}

impl Session<'_> {
    const fn new(held: Held, keeps_statements: bool) -> Self {
        Self { held, keeps_statements, borrowed: PhantomData }
    }

    /// For a statement that is not one of the named ones.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        match &mut self.held {
            Held::Plain(connection) => connection,
            Held::Within(transaction) => transaction,
            Held::Alone(connection) => connection,
        }
    }

    /// Whether statements stay prepared for the next call. Behind a pooler that would be another server's session.
    pub(super) const fn keeps_statements(&self) -> bool {
        self.keeps_statements
    }

    async fn commit(self, name: &'static str) -> Result<()> {
        match self.held {
            Held::Within(transaction) => {
                transaction.commit().await.map_err(|error| failure::of_step(name, &error))
            }
            Held::Plain(_) | Held::Alone(_) => Ok(()),
        }
    }
}
