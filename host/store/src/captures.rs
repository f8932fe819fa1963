//! Triggers on the application's tables.

use std::collections::BTreeMap;

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{ChangeLogField, Result, StoreError, commands};

/// Writes and removes the triggers that put committed changes into the inbox.
#[async_trait]
pub trait Captures: Send + Sync {
    /// Starts to capture a table, or captures it differently. In one transaction. An entity type that another table
    /// has, another entity type for a captured table (unless `rename` is given), a table without a primary key (unless
    /// `key` is given), a view or a column that does not exist is refused with a message that says what to do.
    async fn add_capture(&self, request: CaptureRequest, now: Timestamp) -> Result<Capture>;

    /// Starts to capture a change log, or renews its triggers: each row that comes into it is an event. Refused with
    /// a message that says what to do if the table has no columns for what a change log must say.
    async fn add_change_log(&self, request: ChangeLogRequest, now: Timestamp) -> Result<Capture>;

    /// What is captured, and whether it still fits its table.
    async fn captures(&self) -> Result<Vec<CaptureStatus>>;

    /// Writes the triggers of a captured table or change log again, for the columns that it has now, as it was captured:
    /// after the table was changed or rebuilt, or by a newer program. Triggers that were enabled `ALWAYS` stay so.
    async fn refresh_capture(&self, table: &str, now: Timestamp) -> Result<Capture>;

    /// Stops capturing: removes the triggers and all else that [`add_capture`](Captures::add_capture) made. Also when
    /// the table itself is gone.
    async fn remove_capture(&self, table: &str) -> Result<()>;
}

/// What to capture.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// The table, `schema.table` where the database has schemas.
    pub table: String,
    /// The entity type of its events, e.g. `Order`.
    pub entity_type: String,
    /// Columns of the key, in order; the primary key when empty.
    pub key: Vec<String>,
    /// Which columns leave the table.
    pub selection: Selection,
    /// Only changes for which this condition is true become events.
    pub condition: Option<String>,
    /// Whether a commit rings the doorbell (where the backend has one).
    pub notify: bool,
    /// Whether a table that is captured under another entity type gets this one.
    pub rename: bool,
}

impl CaptureRequest {
    /// All columns of a table by its primary key, with the doorbell.
    #[must_use]
    pub fn new(table: impl Into<String>, entity_type: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            entity_type: entity_type.into(),
            key: Vec::new(),
            selection: Selection::All,
            condition: None,
            notify: true,
            rename: false,
        }
    }
}

/// Which columns of a table are captured. Columns of the key always are.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// All, also those that come later.
    #[default]
    All,
    /// These.
    Only(Vec<String>),
    /// All but these, also those that come later.
    Exclude(Vec<String>),
}

/// Which change log to capture.
#[derive(Clone, Debug)]
pub struct ChangeLogRequest {
    /// The table, `schema.table` where the database has schemas.
    pub table: String,
    /// Columns that are not named as usual. An empty name: it has none.
    pub columns: BTreeMap<ChangeLogField, String>,
    /// Whether a commit rings the doorbell (where the backend has one).
    pub notify: bool,
}

impl Selection {
    /// Whether no column was chosen.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// A table that is captured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Capture {
    /// The table.
    pub table: String,
    /// The entity type of its events; `*` for a change log, of which each row names its own.
    pub entity_type: String,
    /// Columns of the key, in order; none for a change log.
    pub key: Vec<String>,
    /// Columns that are captured.
    pub columns: Vec<String>,
    /// Which columns were chosen.
    #[serde(skip_serializing_if = "Selection::is_all")]
    pub selection: Selection,
    /// Only changes for which this condition is true become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// If it is a change log: the columns that say what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_log: Option<BTreeMap<ChangeLogField, String>>,
    /// Whether a commit rings the doorbell.
    pub notify: bool,
    /// When its triggers were written.
    pub created_at: Timestamp,
}

/// A captured table, and how it has changed since.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CaptureStatus {
    /// What is captured.
    #[serde(flatten)]
    pub capture: Capture,
    /// What no longer fits, and what to do; absent when all is well.
    pub drift: Option<String>,
    /// Changes of it whose events would come in another order, and what to do.
    pub warnings: Vec<String>,
}

/// The entity type of captures that have none of their own.
pub(crate) const EVERY_TYPE: &str = "*";

/// A capture and the triggers that were written for it: what names one, and its text.
pub(crate) struct Written {
    pub(crate) capture: Capture,
    pub(crate) triggers: BTreeMap<String, String>,
}

/// An entity type needs a name.
pub(crate) fn refuse_name(entity_type: &str) -> Result<()> {
    if entity_type.is_empty() || entity_type == EVERY_TYPE || entity_type.contains('\0') {
        return Err(StoreError::Refused(format!(
            "`{entity_type}` can not be an entity type; write a name such as `--entity Order`"
        )));
    }
    Ok(())
}

/// An entity type needs a name, and has one table.
pub(crate) fn refuse_entity_type(entity_type: &str, table: &str, captures: &[Written]) -> Result<()> {
    refuse_name(entity_type)?;
    match captures.iter().find(|written| written.capture.entity_type == entity_type) {
        Some(Written { capture, .. }) if capture.table != table => Err(StoreError::Refused(format!(
            "the entity type `{entity_type}` is taken by the table `{0}`; choose another name, or end that capture with \
             `{1}`",
            capture.table,
            commands::remove(&capture.table)
        ))),
        _ => Ok(()),
    }
}
