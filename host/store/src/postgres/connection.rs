//! The connections of one process, and the one function for transactions.
//!
//! Durability: the host's own transactions do not wait until their commit is on disk ([`Sync::Later`]). A server that
//! crashes may lose the last of them, always from the end: inbox rows come back, or deliveries that had ended are live
//! again, and run again with the same id: at-least-once, as promised. The application's commit keeps the durability
//! that the application chose. What a person was told is done ([`Sync::Now`]) is on disk when the call returns.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    PostgresOptions,
    encoding::Encoding,
    entry::{self, Entry},
    failure,
    pool::Pool,
    server_version,
    session::Session,
    statement::statements,
    url::Server,
};
use crate::{
    Result, StoreError, TransactionCount,
    transactions::{Ended, Tally},
};

/// How often a transaction is run when others are in its way.
const TRIES: u32 = 5;

/// Between two runs of a transaction; grows with each.
const PAUSE: Duration = Duration::from_millis(5);

/// What keeps plans good for tables that are empty at one moment and have a million rows at the next: the server makes
/// a plan once and keeps it. So no table is read as a whole where there is an index, dead rows and all. And no plan is
/// compiled, which takes longer than any of these statements.
const PLANS: [(&str, &str); 3] = [("enable_seqscan", "off"), ("jit", "off"), ("plan_cache_mode", "auto")];

/// What the host relies on, whatever `ALTER DATABASE .. SET` and `ALTER ROLE .. SET` say: statements outside of transactions
/// see what is committed and may write, wait for locks, and mean the same everywhere.
const SEMANTICS: [(&str, &str); 11] = [
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("lock_timeout", "0"),
    ("array_nulls", "on"),
    ("client_min_messages", "warning"),
    ("datestyle", "ISO, MDY"),
    ("intervalstyle", "postgres"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("transform_null_equals", "off"),
];

/// Rows that others changed meanwhile are seen as they are now; a snapshot of the beginning would hold deliveries back for ever.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE";

statements! {
    SERVER_VERSION = "-- server_version
SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS name,
       getdatabaseencoding() AS encoding";
}

/// How durable a write is when its call returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sync {
    /// It survives the host; after a crash of the server it may have to be done again.
    Later,
    /// It survives a crash of the server.
    Now,
    /// The same, and it may take as long as it takes.
    Long,
}

/// A step of a transaction, within the life of what it borrows.
pub(super) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// The connections of one process.
pub(super) struct Connections {
    database: String,
    schema: String,
    pool: Arc<Pool>,
    places: u32,
    pooled: bool,
    patience: Duration,
    tally: Tally,
    begin_later: String,
    begin_now: String,
    begin_long: String,
    begin_read: String,
}

impl Connections {
    pub(super) async fn open(server: Server, options: &PostgresOptions) -> Result<Self> {
        let settings = settings(options);
        let database = server.name();
        let entry = Entry::new(&server, &settings, options.pooled);
        let pool = Arc::new(Pool::new(entry, options.max_connections, options.connect_timeout));
        pool.stores(first_look(&database, &pool, options).await?);
        let each = if options.pooled {
            format!("; {}", entry::statements("SET LOCAL", &settings))
        } else {
            String::new()
        };
        Ok(Self {
            database,
            schema: options.schema.clone(),
            pool,
            places: options.max_connections,
            pooled: options.pooled,
            patience: options.answer_timeout,
            tally: Tally::default(),
            begin_later: format!("{BEGIN}{each}; SET LOCAL synchronous_commit TO off"),
            begin_now: format!("{BEGIN}{each}"),
            begin_long: format!("{BEGIN}{each}; SET LOCAL statement_timeout TO 0"),
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

    /// How the database stores texts.
    pub(super) fn encoding(&self) -> Encoding {
        self.pool.encoding()
    }

    /// To read one thing.
    pub(super) async fn read(&self) -> Result<Session<'static>> {
        if self.pooled {
            return self.read_transaction().await;
        }
        let session = Session::take(&self.pool, self.patience, true).await;
        session.map_err(|error| self.unopened(&error))
    }

    /// To read several things of one moment.
    pub(super) async fn read_transaction(&self) -> Result<Session<'static>> {
        self.begin(&self.begin_read, self.patience).await
    }

    /// The one way to write: runs `work` in a transaction with this name, and runs it again, from its start, when it
    /// failed because of other transactions. What `work` does must therefore be in the transaction only.
    pub(super) async fn write<'a, T, F>(&self, name: &'static str, sync: Sync, work: F) -> Result<T>
    where
        T: Send,
        F: for<'c> Fn(&'c mut Session<'a>) -> Work<'c, T> + Send + std::marker::Sync,
    {
        let (begin, patience) = match sync {
            Sync::Later => (&self.begin_later, self.patience),
            Sync::Now => (&self.begin_now, self.patience),
            Sync::Long => (&self.begin_long, Duration::MAX),
        };
        let mut tries = 1;
        loop {
            let asked = Instant::now();
            let mut session = self.begin(begin, patience).await?;
            let waited_us = micros(asked);
            let working = Instant::now();
            let result = match work(&mut session).await {
                Ok(done) => session.commit(name).await.map(|()| done),
                Err(error) => {
                    session.roll_back().await;
                    Err(error)
                }
            };
            let took = working.elapsed();
            let ended = match &result {
                Ok(_) => Ended::Done,
                Err(StoreError::Conflict { .. }) if tries < TRIES => Ended::Repeated,
                Err(_) => Ended::Failed,
            };
            self.tally.ended(name, took, ended);
            tracing::trace!(transaction = name, tries, waited_us, ?took, ?ended, "write");
            match result {
                Err(StoreError::Conflict { statement, why }) if tries < TRIES => {
                    tracing::debug!(transaction = name, statement, why, tries, "in conflict, runs again");
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                result => return self.explained(result).await,
            }
        }
    }

    /// Connections that ended since they were used last are found here, and replaced.
    async fn begin<'a>(&self, statements: &str, patience: Duration) -> Result<Session<'a>> {
        let mut left = self.places;
        loop {
            let session = Session::take(&self.pool, patience, !self.pooled).await;
            let mut session = session.map_err(|error| self.unopened(&error))?;
            match session.begin(statements).await {
                Ok(()) => return Ok(session),
                Err(error) if left > 0 && session.is_used() && is_stale(&error) => left -= 1,
                Err(error) => return Err(self.unopened(&error)),
            }
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn counts(&self) -> Vec<TransactionCount> {
        self.tally.counts()
    }

    fn unopened(&self, error: &sqlx::Error) -> StoreError {
        StoreError::Unreachable { database: self.database.clone(), why: failure::reason(error) }
    }
}

/// What each session, or each transaction behind a pooler, is set to.
fn settings(options: &PostgresOptions) -> Vec<(&'static str, String)> {
    // In milliseconds, the unit of both.
    let patience = options.answer_timeout.as_millis().to_string();
    let own = [
        ("search_path", search_path(&options.schema)),
        // What nobody waits for any more ends at the server too, and so does a transaction of a host that is gone: its
        // locks would stay as long as the network keeps silent.
        ("statement_timeout", patience.clone()),
        ("idle_in_transaction_session_timeout", patience),
    ];
    own.into_iter()
        .chain(PLANS.into_iter().chain(SEMANTICS).map(|(name, value)| (name, value.to_owned())))
        .collect()
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

/// Connects once, to tell why it can not.
async fn first_look(database: &str, pool: &Arc<Pool>, options: &PostgresOptions) -> Result<Encoding> {
    let unreachable = |why: String| StoreError::Unreachable { database: database.to_owned(), why };
    let mut session =
        Session::take(pool, options.connect_timeout, false).await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => {
                unreachable(format!("it did not answer within {} s", options.connect_timeout.as_secs()))
            }
            error => unreachable(failure::reason(&error)),
        })?;
    let Some(record) = SERVER_VERSION.call().optional(&mut session).await? else {
        return Err(unreachable("it does not tell its version".to_owned()));
    };
    let (number, name): (i32, String) = (record.get("number")?, record.get("name")?);
    server_version::check(database, number, &name)?;
    Ok(Encoding::named(record.get("encoding")?))
}

/// Whether the connection was gone before anything was done with it.
fn is_stale(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || failure::code(error).is_some_and(|code| code == "57P01")
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
