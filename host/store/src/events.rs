//! Events as people see them.

use aftercommit_core::{EntityEvent, EventKind, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use crate::{Result, deliveries::DeliveryRow, row::Row};

/// Emits, lists and shows events.
#[async_trait]
pub trait Events: Send + Sync {
    /// Puts an event into the inbox, durably. An id that is taken is [`StoreError::Exists`](crate::StoreError).
    async fn emit(&self, event: EntityEvent) -> Result<()>;

    /// The newest events first.
    async fn events(&self, filter: EventFilter) -> Result<Vec<EntityEvent>>;

    /// The events that occurred at or after `since`, the oldest first, at most `limit` of those behind the place where
    /// an earlier page ended; 0 is the place before all.
    async fn events_since(&self, since: Timestamp, place: i64, limit: usize) -> Result<EventPage>;

    /// One event and what became of it.
    async fn event(&self, id: Uuid) -> Result<EventHistory>;

    /// How many rows wait in the inbox.
    async fn inbox_len(&self) -> Result<u64>;
}

/// Which events to list.
#[derive(Clone, Default, Debug)]
pub struct EventFilter {
    /// Only of this type.
    pub entity_type: Option<String>,
    /// Only of this entity.
    pub entity_id: Option<String>,
    /// Only of this kind.
    pub event_kind: Option<EventKind>,
    /// At most so many.
    pub limit: usize,
}

/// Some of the events, in order.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EntityEvent>,
    /// Where the next page begins; none when this was the last.
    pub next: Option<i64>,
}

/// An event and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct EventHistory {
    /// The event.
    pub event: EntityEvent,
    /// Whether it still waits in the inbox.
    pub in_inbox: bool,
    /// Its live deliveries.
    pub deliveries: Vec<DeliveryRow>,
    /// Every attempt so far, the oldest first.
    pub attempts: Vec<AttemptRow>,
}

/// One row of the attempt log (`tb_observer_log`), as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptRow {
    /// Absent when no delivery was made (a condition that could not be evaluated).
    pub delivery_id: Option<Uuid>,
    /// Name of the observer.
    pub observer: String,
    /// Name of the action's plugin; absent when no delivery was made.
    pub action: Option<String>,
    /// Name of the action within the observer.
    pub action_name: Option<String>,
    /// Which attempt.
    pub attempt: u32,
    /// Attempts before it is given up.
    pub max_attempts: u32,
    /// `succeeded`, `waiting`, `dead`, `failed`, `lost` (its host died) or `condition_error`.
    pub status: String,
    /// The class of failure.
    pub class: Option<String>,
    /// A short stable word.
    pub code: Option<String>,
    /// The outcome's summary, or what went wrong.
    pub message: String,
    /// The destination's status code.
    pub http_status: Option<u16>,
    /// When the attempt started.
    pub started_at: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Name of the plugin that ran.
    pub plugin: Option<String>,
    /// `sha256:..` of the plugin that ran.
    pub plugin_digest: Option<String>,
}

impl AttemptRow {
    pub(crate) fn read(row: &impl Row) -> Result<Self> {
        Ok(Self {
            delivery_id: row.optional_uuid("delivery_id")?,
            observer: row.string("observer")?,
            action: row.optional_string("action_type")?,
            action_name: row.optional_string("action")?,
            attempt: row.count("attempt")?,
            max_attempts: row.count("max_attempts")?,
            status: row.string("status")?,
            class: row.optional_string("class")?,
            code: row.optional_string("code")?,
            message: row.string("message")?,
            http_status: row.http_status()?,
            started_at: row.time("started_at")?,
            duration_us: row.integer("duration_us")?.unsigned_abs(),
            plugin: row.optional_string("plugin")?,
            plugin_digest: row.optional_string("plugin_digest")?,
        })
    }
}
