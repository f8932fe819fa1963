//! The columns of a captured table, as far as a compiled condition depends on them.

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column<K> {
    /// Its name, without quotes.
    pub name: String,
    /// What its values are.
    pub kind: K,
}

/// All columns of a table, which also say for which database a condition is compiled.
#[derive(Clone, Copy, Debug)]
pub enum Columns<'a> {
    /// Of a table of PostgreSQL, 14 or later.
    Postgres(&'a [Column<PostgresKind>]),
    /// Of a table of SQLite, 3.38 or later.
    Sqlite(&'a [Column<SqliteKind>]),
}

impl<'a> Columns<'a> {
    pub(super) fn names(self) -> Vec<&'a str> {
        match self {
            Self::Postgres(columns) => columns.iter().map(|column| column.name.as_str()).collect(),
            Self::Sqlite(columns) => columns.iter().map(|column| column.name.as_str()).collect(),
        }
    }
}

/// The built-in type of a column of PostgreSQL. A domain is the type that it is based on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PostgresKind {
    /// `smallint`, `integer`, `bigint`
    Integer,
    /// `numeric`
    Numeric,
    /// `real`, `double precision`
    Float,
    /// `boolean`
    Boolean,
    /// `text`, `varchar`, `name`
    Text,
    /// `char(n)`: blanks at the end mean nothing.
    Character,
    /// An enumeration.
    Enum,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `timestamp`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// All others, arrays among them.
    Other,
}

/// What is known of the values of a column of SQLite, where each value has a type of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SqliteKind {
    /// Values are captured as they are stored.
    Plain,
    /// 0 and 1 are captured as false and true.
    Boolean,
    /// Texts that are JSON are captured as JSON.
    Json,
}

impl SqliteKind {
    /// By the declared type, in capitals.
    #[must_use]
    pub fn of_declared(declared: &str) -> Self {
        match declared {
            "JSON" | "JSONB" => Self::Json,
            declared if declared.starts_with("BOOL") => Self::Boolean,
            _ => Self::Plain,
        }
    }
}
