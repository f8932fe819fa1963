//! The PostgreSQL backend: the source of events and the coordination of any number of hosts.
//!
//! What several hosts do at once is decided by row locks (`FOR UPDATE SKIP LOCKED`), by what a statement finds when it
//! comes to change a row (owner, attempt), and, where rows that do not exist yet matter, by the locks that
//! `migrations/postgres/0008_disabled.sql` lists. Nothing relies on state of a session, so a pooler may stand between,
//! but for the one direct connection that hears notifications.
//!
//! [`connection`] has the one function for transactions, [`pool`] and [`session`] the connections that they use, [`statement`] how statements are written down and named,
//! [`failure`] what their errors mean. Every other file holds one trait and its statements.

mod backfill;
mod capture_bell;
mod capture_drift;
mod capture_function;
mod capture_making;
mod capture_order;
mod capture_record;
mod capture_table;
mod capture_trigger;
mod captures;
mod change_log;
mod change_log_function;
mod claimable;
mod claims;
mod completion;
mod connection;
mod dead_letters;
mod definitions;
mod deliveries;
mod doorbell;
mod earlier_observers;
mod encoding;
mod entry;
mod event_row;
mod events;
mod failure;
mod function_name;
mod holds;
mod hosts;
mod inbox;
mod intake;
mod learned_rates;
mod locks;
mod pool;
mod predicate;
mod quarantine;
mod retention;
mod rights;
mod runs;
mod safe_reading;
mod schema;
mod server_version;
mod session;
mod sql_text;
mod statement;
mod surroundings;
mod suspects;
mod time;
mod turns;
mod url;
mod waits;
mod watch;
mod watermark;

use std::{sync::Arc, time::Duration};

use self::{connection::Connections, doorbell::Doorbell, url::Server, watch::Watch, watermark::Progress};
use crate::{LockHeld, Result, TransactionCount, Transactions};

/// How to use the database.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The schema (namespace) of the host's tables.
    pub schema: String,
    /// Connections at most, the one that hears notifications not counted.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the answer to a statement. Then the connection is given up, and the call fails with an
    /// error that passes.
    pub answer_timeout: Duration,
    /// Whether `url` leads through a pooler that gives out connections by transaction, such as `PgBouncer`.
    pub pooled: bool,
    /// Where to hear notifications: a URL that leads to the server itself. Without one, `url` is used unless it is
    /// `pooled`; then nothing is heard, and the poll does it all.
    pub listen_url: Option<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "public".to_owned(),
            // Intake, claims, completions, upkeep and a few readers at a time.
            max_connections: 8,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            pooled: false,
            listen_url: None,
        }
    }
}

/// An open database. Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    connections: Connections,
    doorbell: Doorbell,
    progress: Progress,
    watch: Watch,
    purged: retention::Reached,
}

impl PostgresStore {
    /// Connects to the database that `url` names: `postgres://user:password@host:port/database?sslmode=..`. Applies no
    /// migration.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self> {
        let server = Server::parse(url)?;
        let listen = match (&options.listen_url, options.pooled) {
            (Some(url), _) => Some(Server::parse(url)?),
            (None, true) => None,
            (None, false) => Some(server.clone()),
        };
        let connections = Connections::open(server, &options).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                connections,
                doorbell: Doorbell::at(listen),
                progress: Progress::default(),
                watch: Watch::default(),
                purged: retention::Reached::default(),
            }),
        })
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.inner.doorbell.close();
        self.inner.connections.close().await;
    }
}

impl Transactions for PostgresStore {
    fn transactions(&self) -> Vec<TransactionCount> {
        self.inner.connections.counts()
    }

    fn lock_held(&self) -> Option<LockHeld> {
        None
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.inner.connections.database()).finish()
    }
}

/// Every statement of the backend, for the test that prepares each of them.
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        backfill::STATEMENTS,
        captures::STATEMENTS,
        capture_making::STATEMENTS,
        capture_order::STATEMENTS,
        capture_record::STATEMENTS,
        surroundings::STATEMENTS,
        capture_drift::STATEMENTS,
        capture_function::STATEMENTS,
        capture_table::STATEMENTS,
        capture_trigger::STATEMENTS,
        change_log::STATEMENTS,
        change_log_function::STATEMENTS,
        claimable::STATEMENTS,
        claims::STATEMENTS,
        completion::STATEMENTS,
        connection::STATEMENTS,
        dead_letters::STATEMENTS,
        definitions::STATEMENTS,
        deliveries::STATEMENTS,
        doorbell::STATEMENTS,
        earlier_observers::STATEMENTS,
        event_row::STATEMENTS,
        events::STATEMENTS,
        holds::STATEMENTS,
        learned_rates::STATEMENTS,
        hosts::STATEMENTS,
        inbox::STATEMENTS,
        intake::STATEMENTS,
        locks::STATEMENTS,
        predicate::STATEMENTS,
        quarantine::STATEMENTS,
        retention::STATEMENTS,
        rights::STATEMENTS,
        runs::STATEMENTS,
        safe_reading::STATEMENTS,
        schema::STATEMENTS,
        watch::STATEMENTS,
        suspects::STATEMENTS,
        turns::STATEMENTS,
        waits::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .map(|statement| (statement.name(), statement.sql()))
}
