//! How statements are written down and called: once, named by the SQL comment they open with; errors carry that name.

use aftercommit_core::Timestamp;
use futures::TryStreamExt as _;
use sqlx::{
    Decode, Encode, Postgres, Row as _, Type,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{failure, session::Session, time::At};
use crate::{
    Result, StoreError,
    page::{Found, MAX_BYTES},
    row::Row,
};

/// A statement. Its first line is its name as an SQL comment, which also shows in the server's own views and logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement(pub(super) &'static str);

impl Statement {
    /// The name in its first line.
    pub(super) fn name(self) -> &'static str {
        self.0.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or("unnamed")
    }

    /// The whole text.
    #[cfg(feature = "conformance")]
    pub(super) const fn sql(self) -> &'static str {
        self.0
    }

    /// A call of it; arguments are bound in the order of `$1`, `$2`, ..
    pub(super) fn call(self) -> Call {
        Call { statement: self, query: sqlx::query(self.0) }
    }
}

/// A statement and its arguments.
pub(super) struct Call {
    statement: Statement,
    query: Query<'static, Postgres, PgArguments>,
}

impl Call {
    /// Binds the next argument.
    pub(super) fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.query = self.query.bind(value);
        self
    }

    /// Binds a time.
    pub(super) fn bind_time(self, at: Timestamp) -> Self {
        self.bind(At(at))
    }

    /// Binds a number of rows.
    pub(super) fn bind_limit(self, limit: usize) -> Self {
        self.bind(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// Runs it; how many rows it wrote.
    pub(super) async fn execute(self, session: &mut Session<'_>) -> Result<usize> {
        let Self { statement, query } = self;
        let query = query.persistent(session.keeps_statements());
        let answer = timeout(session.patience(), query.execute(session.asks())).await;
        let done = session.answered(answer).map_err(|error| failure::of_step(statement.name(), &error))?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }

    /// Runs it and reads all rows.
    pub(super) async fn all(self, session: &mut Session<'_>) -> Result<Vec<Record>> {
        let Self { statement, query } = self;
        let query = query.persistent(session.keeps_statements());
        let answer = timeout(session.patience(), query.fetch_all(session.asks())).await;
        let rows = session.answered(answer).map_err(|error| failure::of_step(statement.name(), &error))?;
        Ok(rows.into_iter().map(|row| Record { row, statement }).collect())
    }

    /// Runs it with a limit as its last argument, and reads rows until they have [`MAX_BYTES`]. Those that are left then are not read: the
    /// connection is closed with the session, which can be asked nothing more.
    pub(super) async fn page(self, session: &mut Session<'_>, limit: usize) -> Result<Found<Record>> {
        let Self { statement, query } = self.bind_limit(limit);
        let patience = session.patience();
        let query = query.persistent(session.keeps_statements());
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut rows = query.fetch(session.asks());
        let answer = loop {
            let row = match timeout(patience, rows.try_next()).await {
                Ok(Ok(Some(row))) => row,
                Ok(Ok(None)) => break Ok(Ok(())),
                Ok(Err(error)) => break Ok(Err(error)),
                Err(late) => break Err(late),
            };
            let record = Record { row, statement };
            bytes += record.bytes();
            records.push(record);
            if bytes >= MAX_BYTES {
                return Ok(Found { records, has_more: true });
            }
        };
        drop(rows);
        session.answered(answer).map_err(|error| failure::of_step(statement.name(), &error))?;
        Ok(Found { has_more: records.len() == limit, records })
    }

    /// Runs it and reads its first row, if there is one.
    pub(super) async fn optional(self, session: &mut Session<'_>) -> Result<Option<Record>> {
        Ok(self.all(session).await?.into_iter().next())
    }

    /// Runs it and reads the first column of its one row.
    pub(super) async fn value<T>(self, session: &mut Session<'_>) -> Result<T>
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        let statement = self.statement;
        match self.all(session).await?.first() {
            Some(record) => record.row.try_get(0).map_err(|error| failure::of_step(statement.name(), &error)),
            None => Err(failure::of_step(statement.name(), &sqlx::Error::RowNotFound)),
        }
    }
}

/// A row that a statement returned.
pub(super) struct Record {
    row: PgRow,
    statement: Statement,
}

impl Record {
    /// Bytes of its values, as the server sent them.
    fn bytes(&self) -> usize {
        let of = |column| self.row.try_get_raw(column).ok()?.as_bytes().ok().map(<[u8]>::len);
        (0..self.row.len()).filter_map(of).sum()
    }

    /// A column by its name.
    pub(super) fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(&'r self, column: &str) -> Result<T> {
        self.row.try_get(column).map_err(|error| failure::of_step(self.statement.name(), &error))
    }
}

impl Row for Record {
    fn optional_text(&self, column: &str) -> Result<Option<&str>> {
        self.get(column)
    }

    fn optional_integer(&self, column: &str) -> Result<Option<i64>> {
        let narrow: Result<Option<i32>> = self.get(column);
        narrow.map(|number| number.map(i64::from)).or_else(|_| self.get(column))
    }

    fn optional_time(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<At>>(column)?.map(|At(at)| at))
    }

    fn optional_uuid(&self, column: &str) -> Result<Option<Uuid>> {
        self.get(column)
    }

    fn flag(&self, column: &str) -> Result<bool> {
        self.get(column)
    }

    fn shown(&self, column: &str) -> String {
        let text = self.optional_text(column).map(|text| text.unwrap_or_default().to_owned());
        let uuid = || self.uuid(column).map(|id| id.to_string());
        let number = || self.integer(column).map(|number| number.to_string());
        text.or_else(|_| uuid()).or_else(|_| number()).unwrap_or_default()
    }

    fn unreadable(&self, column: &str, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Statement {
            statement: self.statement.name(),
            why: format!("column {column}: {why}"),
            transient: false,
        }
    }
}

/// As PostgreSQL counts.
pub(super) fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// Declares the statements of a file as constants, and lists them in `STATEMENTS` for the test that prepares them all.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: $crate::postgres::statement::Statement =
            $crate::postgres::statement::Statement($sql);)+
        #[cfg(feature = "conformance")]
        pub(in crate::postgres) const STATEMENTS: &[$crate::postgres::statement::Statement] = &[$($name),+];
    };
}
pub(super) use statements;
