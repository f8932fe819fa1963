//! How a new connection is made, and set to what the host relies on.
//!
//! A server takes settings at the start of a session. A pooler such as `PgBouncer` refuses them, or passes over them in silence
//! (`ignore_startup_parameters`): then names would be looked for in another schema, and nothing would end in time. So each
//! session is given a mark with the settings, and asked for it. One without it is set by `SET`, if it belongs to its client: in a
//! session that others use too, that would change theirs.

use parking_lot::Mutex;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions,
};
use uuid::Uuid;

use super::{failure, url::Server};

/// The setting by which a session is known again.
const MARK: &str = "aftercommit.session";

/// What to do when sessions are not their clients' own.
const NOT_POOLED: &str = "a pooler that gives each transaction to any session stands between, and the host was not told so: write `pooled = true` in \
                          `[database]`, or let the URL lead to the server itself";

/// What to do when the URL has `options` of its own.
const NO_OPTIONS: &str = "a pooler stands between and passes over the `options` of the URL: leave them out, or let the URL lead to the server itself";

/// How sessions get their settings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// At their start.
    AtStart,
    /// By `SET`, once they are there.
    Set,
    /// Not at all: each transaction has its own.
    EachTransaction,
}

/// The way to one server.
pub(super) struct Entry {
    plain: PgConnectOptions,
    with_settings: PgConnectOptions,
    set: String,
    mark: String,
    manner: Mutex<Manner>,
}

impl Entry {
    /// To sessions that are set so; `pooled`: each transaction is.
    pub(super) fn new(server: &Server, settings: &[(&'static str, String)], pooled: bool) -> Self {
        let mark = Uuid::new_v4().simple().to_string();
        let with_settings = server.options.clone().options(settings.to_vec()).options([(MARK, &mark)]);
        Self {
            plain: server.options.clone(),
            with_settings,
            set: statements("SET", settings),
            mark,
            manner: Mutex::new(if pooled { Manner::EachTransaction } else { Manner::AtStart }),
        }
    }

    /// A new connection. Fails with the line to write where a pooler is not configured for what stands between.
    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        if self.manner() == Manner::AtStart {
            if let Some(connection) = self.at_start().await? {
                return Ok(connection);
            }
            if self.plain.get_options().is_some() {
                return Err(sqlx::Error::Configuration(NO_OPTIONS.into()));
            }
            self.refuse_shared_sessions().await?;
            *self.manner.lock() = Manner::Set;
        }
        let mut connection = PgConnection::connect_with(&self.plain).await?;
        if self.manner() == Manner::Set {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(self.set.as_str()))).await?;
        }
        Ok(connection)
    }

    fn manner(&self) -> Manner {
        *self.manner.lock()
    }

    /// `None` if settings at the start are refused, or have no effect.
    async fn at_start(&self) -> sqlx::Result<Option<PgConnection>> {
        let mut connection = match PgConnection::connect_with(&self.with_settings).await {
            Ok(connection) => connection,
            Err(error) if failure::is_refusal_of_parameters(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let question = format!("SELECT current_setting('{MARK}', true)");
        let mark: Option<String> = ask(&mut connection, &question).await?;
        if mark.as_deref() == Some(&self.mark) {
            return Ok(Some(connection));
        }
        let _ = connection.close().await;
        Ok(None)
    }

    /// Has one connection rest while another is in a transaction. A pooler that shares sessions gives the rested one's to the other,
    /// or another to the first when it is asked again. Tried several times: other clients may take a session in between.
    async fn refuse_shared_sessions(&self) -> sqlx::Result<()> {
        const WHICH: &str = "SELECT pg_backend_pid()::text";
        let mut first = PgConnection::connect_with(&self.plain).await?;
        let mut second = PgConnection::connect_with(&self.plain).await?;
        let own: Option<String> = ask(&mut first, WHICH).await?;
        for _ in 0..5 {
            second.execute("BEGIN").await?;
            let other = ask(&mut second, WHICH).await?;
            let again = ask(&mut first, WHICH).await?;
            second.execute("ROLLBACK").await?;
            if other == own || again != own {
                return Err(sqlx::Error::Configuration(NOT_POOLED.into()));
            }
        }
        let _ = first.close().await;
        let _ = second.close().await;
        Ok(())
    }
}

/// `SET`, or `SET LOCAL`, for each of the settings.
pub(super) fn statements(set: &str, settings: &[(&'static str, String)]) -> String {
    let each = settings.iter().map(|(name, value)| {
        // The search path is a list of names; other values are texts.
        let value = if *name == "search_path" { value.clone() } else { format!("'{value}'") };
        format!("{set} {name} TO {value}")
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The one value of an answer, asked for without a prepared statement.
async fn ask(connection: &mut PgConnection, question: &str) -> sqlx::Result<Option<String>> {
    let row = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(question))).await?;
    row.try_get_unchecked(0)
}
