//! How statements are written down and called: once, named by the SQL comment they open with; errors carry that name.

use std::{fmt::Display, str::FromStr, sync::Arc};

use aftercommit_core::Timestamp;
use rusqlite::{
    CachedStatement, Connection, ToSql, params_from_iter,
    types::{ToSqlOutput, Value, ValueRef},
};
use uuid::Uuid;

use super::{
    cell::{Cell, FromCell},
    failure,
};
use crate::{
    Result, StoreError,
    page::{Found, MAX_BYTES},
    row::Row,
};

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
    pub(super) const fn call(self) -> Call {
        Call { statement: self, arguments: Vec::new() }
    }

    fn prepare(self, connection: &Connection) -> Result<CachedStatement<'_>> {
        connection.prepare_cached(self.0).map_err(failure::of_statement(self))
    }
}

/// A statement and its arguments.
pub(super) struct Call {
    statement: Statement,
    arguments: Vec<Value>,
}

impl Call {
    /// Binds the next argument.
    pub(super) fn bind(mut self, value: impl ToSql) -> Self {
        self.arguments.push(owned(&value));
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
    pub(super) fn execute(&self, connection: &Connection) -> Result<usize> {
        let mut prepared = self.statement.prepare(connection)?;
        let written = prepared.execute(params_from_iter(&self.arguments));
        #[cfg(feature = "conformance")]
        super::steps::count(connection, &prepared);
        written.map_err(failure::of_statement(self.statement))
    }

    /// Runs it and reads all rows.
    pub(super) fn all(self, connection: &Connection) -> Result<Vec<Record>> {
        Ok(self.up_to(connection, usize::MAX)?.0)
    }

    /// Runs it with a limit as its last argument, and reads rows until they have [`MAX_BYTES`].
    pub(super) fn page(self, connection: &Connection, limit: usize) -> Result<Found<Record>> {
        let (records, is_cut) = self.bind_limit(limit).up_to(connection, MAX_BYTES)?;
        Ok(Found { has_more: is_cut || records.len() == limit, records })
    }

    /// Reads rows until they have so many bytes. `true` when others may be left.
    fn up_to(self, connection: &Connection, max_bytes: usize) -> Result<(Vec<Record>, bool)> {
        let statement = self.statement;
        let mut prepared = statement.prepare(connection)?;
        let columns: Arc<[String]> = prepared.column_names().into_iter().map(str::to_owned).collect();
        let read = || {
            let mut rows = prepared.query(params_from_iter(self.arguments))?;
            let (mut records, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let cells = (0..columns.len()).map(|column| row.get_ref(column).map(Cell::from));
                let cells: Vec<Cell> = cells.collect::<rusqlite::Result<_>>()?;
                bytes += cells.iter().map(Cell::bytes).sum::<usize>();
                records.push(Record { statement, columns: Arc::clone(&columns), cells });
                if bytes >= max_bytes {
                    return Ok((records, true));
                }
            }
            Ok((records, false))
        };
        let records = read();
        #[cfg(feature = "conformance")]
        super::steps::count(connection, &prepared);
        records.map_err(failure::of_statement(statement))
    }

    /// Runs it and reads its row, if there is one.
    pub(super) fn optional(self, connection: &Connection) -> Result<Option<Record>> {
        Ok(self.all(connection)?.into_iter().next())
    }

    /// Runs it and reads the first column of its one row.
    pub(super) fn value<T: for<'r> FromCell<'r>>(self, connection: &Connection) -> Result<T> {
        let statement = self.statement;
        let record = self.optional(connection)?;
        let record =
            record.ok_or_else(|| failure::of_statement(statement)(rusqlite::Error::QueryReturnedNoRows))?;
        record.get(&record.columns[0])
    }
}

/// Every argument is a text, a number or null.
fn owned(value: &impl ToSql) -> Value {
    match value.to_sql() {
        Ok(ToSqlOutput::Owned(value)) => value,
        Ok(ToSqlOutput::Borrowed(ValueRef::Integer(number))) => Value::Integer(number),
        Ok(ToSqlOutput::Borrowed(ValueRef::Real(number))) => Value::Real(number),
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(text))) => {
            Value::Text(String::from_utf8_lossy(text).into_owned())
        }
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(bytes))) => Value::Blob(bytes.to_vec()),
        _ => Value::Null,
    }
}

/// A row that a statement returned.
pub(super) struct Record {
    statement: Statement,
    columns: Arc<[String]>,
    cells: Vec<Cell>,
}

impl Record {
    /// A column by its name.
    pub(super) fn get<'r, T: FromCell<'r>>(&'r self, column: &str) -> Result<T> {
        let position = self.columns.iter().position(|name| name == column);
        let cell = position.and_then(|position| self.cells.get(position));
        let cell = cell.ok_or_else(|| self.unreadable(column, &"there is no such column"))?;
        T::from_cell(cell).ok_or_else(|| {
            self.unreadable(column, &format!("it holds {}, not {}", cell.describe(), T::WANTED))
        })
    }

    /// A column that holds a text in another form.
    fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>> {
        let text: Option<&str> = self.get(column)?;
        text.map(str::parse).transpose().map_err(|error: T::Err| self.unreadable(column, &error))
    }
}

impl Row for Record {
    fn optional_text(&self, column: &str) -> Result<Option<&str>> {
        self.get(column)
    }

    fn optional_integer(&self, column: &str) -> Result<Option<i64>> {
        self.get(column)
    }

    fn optional_time(&self, column: &str) -> Result<Option<Timestamp>> {
        self.parsed(column)
    }

    fn optional_uuid(&self, column: &str) -> Result<Option<Uuid>> {
        self.parsed(column)
    }

    fn flag(&self, column: &str) -> Result<bool> {
        self.get(column)
    }

    fn shown(&self, column: &str) -> String {
        let position = self.columns.iter().position(|name| name == column);
        position.and_then(|position| self.cells.get(position)).map(Cell::shown).unwrap_or_default()
    }

    fn unreadable(&self, column: &str, why: &dyn Display) -> StoreError {
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
