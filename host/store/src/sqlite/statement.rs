//! How statements are written down and called: once, named by the SQL comment they open with; errors carry that name.

use aftercommit_core::Timestamp;
use sqlx::{
    Decode, Encode, Row as _, Sqlite, SqliteConnection, Type,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::failure;
use crate::{Result, StoreError};

/// A statement. Its first line is its name as an SQL comment, which also shows in traces of the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement(pub(super) &'static str);

impl Statement {
    /// The name in its first line.
    pub(crate) fn name(self) -> &'static str {
        self.0.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or("unnamed")
    }

    /// The whole text.
    #[cfg(test)]
    pub(crate) const fn sql(self) -> &'static str {
        self.0
    }

    /// A call of it; arguments are bound in the order of `?1`, `?2`, ..
    pub(super) fn call(self) -> Call {
        Call { statement: self, query: sqlx::query(self.0) }
    }
}

/// A statement and its arguments.
pub(super) struct Call {
    statement: Statement,
    query: Query<'static, Sqlite, SqliteArguments>,
}

impl Call {
    /// Binds the next argument.
    pub(super) fn bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(mut self, value: T) -> Self {
        self.query = self.query.bind(value);
        self
    }

    /// Binds a time as its text.
    pub(super) fn bind_time(self, at: Timestamp) -> Self {
        self.bind(at.to_string())
    }

    /// Binds a number of rows.
    pub(super) fn bind_limit(self, limit: usize) -> Self {
        self.bind(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// Runs it; how many rows it wrote.
    pub(super) async fn execute(self, connection: &mut SqliteConnection) -> Result<usize> {
        let done = self.query.execute(connection).await.map_err(failure::of_statement(self.statement))?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }

    /// Runs it and reads all rows.
    pub(super) async fn all(self, connection: &mut SqliteConnection) -> Result<Vec<Record>> {
        let statement = self.statement;
        let rows = self.query.fetch_all(connection).await.map_err(failure::of_statement(statement))?;
        Ok(rows.into_iter().map(|row| Record { row, statement }).collect())
    }

    /// Runs it and reads its row, if there is one.
    pub(super) async fn optional(self, connection: &mut SqliteConnection) -> Result<Option<Record>> {
        let statement = self.statement;
        let row = self.query.fetch_optional(connection).await.map_err(failure::of_statement(statement))?;
        Ok(row.map(|row| Record { row, statement }))
    }

    /// Runs it and reads the first column of its one row.
    pub(super) async fn value<T>(self, connection: &mut SqliteConnection) -> Result<T>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite>,
    {
        let statement = self.statement;
        let row = self.query.fetch_one(connection).await.map_err(failure::of_statement(statement))?;
        row.try_get(0).map_err(failure::of_statement(statement))
    }
}

/// A row that a statement returned.
pub(super) struct Record {
    row: SqliteRow,
    statement: Statement,
}

impl Record {
    /// A column by its name.
    pub(super) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, column: &str) -> Result<T> {
        self.row.try_get(column).map_err(failure::of_statement(self.statement))
    }

    /// A column that holds a text in another form, such as a time or a UUID.
    pub(super) fn parse<T: std::str::FromStr>(&self, column: &str) -> Result<T>
    where
        T::Err: std::fmt::Display,
    {
        let text: &str = self.get(column)?;
        text.parse().map_err(|error: T::Err| self.unreadable(column, &error))
    }

    /// The same for a column that may be null.
    pub(super) fn parse_optional<T: std::str::FromStr>(&self, column: &str) -> Result<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        let text: Option<&str> = self.get(column)?;
        text.map(str::parse).transpose().map_err(|error: T::Err| self.unreadable(column, &error))
    }

    /// An error for a value that is not what this program writes.
    pub(super) fn unreadable(&self, column: &str, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Statement {
            statement: self.statement.name(),
            why: format!("column {column}: {why}"),
            transient: false,
        }
    }
}

/// Rows as one JSON array, for a statement that reads them with `json_each`: one call instead of one a row.
pub(super) fn rows_as_json<T: serde::Serialize>(rows: &[T]) -> String {
    #[expect(clippy::expect_used, reason = "texts and numbers always serialise")]
    serde_json::to_string(rows).expect("rows are texts and numbers")
}

/// Declares the statements of a file as constants, and lists them in `STATEMENTS` for the test that prepares them all.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: $crate::sqlite::statement::Statement = $crate::sqlite::statement::Statement($sql);)+
        #[cfg(test)]
        pub(super) const STATEMENTS: &[$crate::sqlite::statement::Statement] = &[$($name),+];
    };
}
pub(super) use statements;
