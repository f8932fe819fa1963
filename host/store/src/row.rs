//! Rows as both backends read them: each column by its name, in one of the few types that the tables have. So what a row means
//! is said once, beside the type that it becomes.

use std::fmt::Display;

use aftercommit_core::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::{Result, StoreError};

/// A row that a statement returned. A column that is missing, or holds what this program does not write, is an error that names
/// the statement and the column.
pub(crate) trait Row {
    /// A text, or null.
    fn optional_text(&self, column: &str) -> Result<Option<&str>>;

    /// An integer of any width, or null.
    fn optional_integer(&self, column: &str) -> Result<Option<i64>>;

    /// A time, or null.
    fn optional_time(&self, column: &str) -> Result<Option<Timestamp>>;

    /// A UUID, or null.
    fn optional_uuid(&self, column: &str) -> Result<Option<Uuid>>;

    /// A truth value.
    fn flag(&self, column: &str) -> Result<bool>;

    /// An error for a value that is not what this program writes.
    fn unreadable(&self, column: &str, why: &dyn Display) -> StoreError;

    /// The content of a column as a text for people, whatever its type; never an error.
    fn shown(&self, column: &str) -> String;

    /// A text.
    fn text(&self, column: &str) -> Result<&str> {
        self.present(column, self.optional_text(column)?)
    }

    /// A text of one's own.
    fn string(&self, column: &str) -> Result<String> {
        self.text(column).map(str::to_owned)
    }

    /// A text of one's own, or null.
    fn optional_string(&self, column: &str) -> Result<Option<String>> {
        Ok(self.optional_text(column)?.map(str::to_owned))
    }

    /// An integer of any width.
    fn integer(&self, column: &str) -> Result<i64> {
        self.present(column, self.optional_integer(column)?)
    }

    /// A number that is never negative.
    fn count(&self, column: &str) -> Result<u32> {
        self.integer(column)?.try_into().map_err(|error| self.unreadable(column, &error))
    }

    /// A time.
    fn time(&self, column: &str) -> Result<Timestamp> {
        self.present(column, self.optional_time(column)?)
    }

    /// A UUID.
    fn uuid(&self, column: &str) -> Result<Uuid> {
        self.present(column, self.optional_uuid(column)?)
    }

    /// A status code, or null.
    fn http_status(&self) -> Result<Option<u16>> {
        let status = self.optional_integer("http_status")?;
        status.map(u16::try_from).transpose().map_err(|error| self.unreadable("http_status", &error))
    }

    /// A text that is JSON.
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        serde_json::from_str(self.text(column)?).map_err(|why| self.unreadable(column, &why))
    }

    /// A text that names one of several things.
    fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        let word = Value::String(self.string(column)?);
        serde_json::from_value(word).map_err(|why| self.unreadable(column, &why))
    }

    /// What a column that is never null holds.
    fn present<T>(&self, column: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.unreadable(column, &"it is null"))
    }
}
