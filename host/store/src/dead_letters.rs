//! The dead letter queue. An item has the id of its delivery and keeps its own copy of the event and the action.

use aftercommit_core::{DeliveryId, EntityEvent, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Result, Rows,
    row::Row,
    rows::{all, rows},
};

/// Shows, replays and discards dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The newest first, as they were at one moment.
    async fn list_dead_letters(&self, limit: usize, found: Rows<DeadLetter>) -> Result<()>;

    /// The same as a whole, where it is known to be small.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let (found, rows) = rows();
        all(self.list_dead_letters(limit, found), rows).await
    }

    /// One item.
    async fn dead_letter(&self, id: DeliveryId) -> Result<DeadLetter>;

    /// Makes exactly these deliveries again, with the ids they had, a new round of attempts and, if need be, the event
    /// restored from the item's copy; removes the items and writes history: each in one transaction, some of them in the same. An
    /// error in the middle leaves the rest as items, and the next call goes on with them. With `None`, all items of
    /// this moment. An id that is no item is an error and nothing is done.
    async fn replay(&self, ids: Option<Vec<DeliveryId>>, now: Timestamp) -> Result<Vec<DeliveryId>>;

    /// Removes items for good and writes history, in the same way. How many there were.
    async fn discard(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<usize>;

    /// What people did to an item, the oldest first.
    async fn history(&self, id: DeliveryId) -> Result<Vec<HistoryEntry>>;
}

/// A dead letter.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    /// Its delivery's id.
    pub id: DeliveryId,
    /// The event's id.
    pub event_id: Uuid,
    /// Name of the observer.
    pub observer: String,
    /// Name of the action's plugin.
    pub action: String,
    /// Name of the action within the observer.
    pub action_name: String,
    /// Always `dead`.
    pub status: &'static str,
    /// Attempts that were made.
    pub attempts: u32,
    /// Attempts after which it was given up.
    pub max_attempts: u32,
    /// The class of the last failure.
    pub class: String,
    /// The code of the last failure: a short stable word.
    pub code: String,
    /// The last failure's message.
    pub last_error: String,
    /// The destination's status code.
    pub http_status: Option<u16>,
    /// When it died.
    pub died_at: Timestamp,
    /// Its own copy of the event.
    pub event: EntityEvent,
    /// Its own copy of the action as written; secrets by name only.
    pub action_config: Value,
}

impl DeadLetter {
    /// `event` is what the same row says of the event.
    pub(crate) fn read(row: &impl Row, event: EntityEvent) -> Result<Self> {
        Ok(Self {
            id: DeliveryId(row.uuid("id")?),
            event_id: event.id,
            observer: row.string("observer")?,
            action: row.string("action_type")?,
            action_name: row.string("action")?,
            status: "dead",
            attempts: row.count("attempts")?,
            max_attempts: row.count("max_attempts")?,
            class: row.string("class")?,
            code: row.string("code")?,
            last_error: row.string("last_error")?,
            http_status: row.http_status()?,
            died_at: row.time("died_at")?,
            event,
            action_config: row.json("action_config")?,
        })
    }
}

/// What a person did to an item.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryEntry {
    /// The item.
    pub id: DeliveryId,
    /// `replayed` or `discarded`.
    pub what: String,
    /// Attempts that had been made.
    pub attempts: u32,
    /// The error it had.
    pub last_error: String,
    /// When.
    pub at: Timestamp,
}

impl HistoryEntry {
    pub(crate) fn read(row: &impl Row) -> Result<Self> {
        Ok(Self {
            id: DeliveryId(row.uuid("item_id")?),
            what: row.string("what")?,
            attempts: row.count("attempts")?,
            last_error: row.string("last_error")?,
            at: row.time("at")?,
        })
    }
}
