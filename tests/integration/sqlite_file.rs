//! A shop's database as a file.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};
use tempfile::TempDir;

use crate::shop::{Database, Shop};

/// A database file.
pub(crate) struct SqliteFile(PathBuf);

impl Shop<SqliteFile> {
    /// A shop with a database file, migrated, with a captured table `orders`.
    pub(crate) async fn open(config: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let database = SqliteFile(folder.path().join("shop.db"));
        Self::of(folder, database, config).await
    }
}

impl SqliteFile {
    /// A connection of the application.
    pub(crate) fn connect(&self) -> Connection {
        let connection = Connection::open(&self.0).expect("the database opens");
        connection.busy_timeout(Duration::from_secs(30)).expect("any time is one");
        connection
    }
}

impl Database for SqliteFile {
    fn url(&self) -> String {
        "sqlite:shop.db".to_owned()
    }

    async fn execute(&self, statements: &str) -> Result<(), String> {
        self.connect().execute_batch(statements).map_err(|error| error.to_string())
    }

    async fn ask(&self, query: &str) -> Result<Option<String>, String> {
        let value =
            self.connect().query_row(query, (), |row| row.get(0)).map_err(|error| error.to_string())?;
        Ok(match value {
            Value::Null => None,
            Value::Integer(number) => Some(number.to_string()),
            Value::Real(number) => Some(number.to_string()),
            Value::Text(text) => Some(text),
            Value::Blob(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    async fn dump(&self) -> Result<String, String> {
        dump(&self.connect()).map_err(|error| error.to_string())
    }
}

fn dump(database: &Connection) -> rusqlite::Result<String> {
    let mut all = String::new();
    let mut tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    for table in tables.query_map((), |row| row.get::<_, String>(0))? {
        let table = table?;
        let mut rows = database.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let columns = rows.column_count();
        let mut rows = rows.query(())?;
        while let Some(row) = rows.next()? {
            let _ = write!(all, "{table}");
            for column in 0..columns {
                let _ = match row.get_ref(column)? {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        write!(all, " {}", String::from_utf8_lossy(bytes))
                    }
                    other => write!(all, " {other:?}"),
                };
            }
            all.push('\n');
        }
    }
    Ok(all)
}
