//! Events as people see them.

use aftercommit_core::{DeliveryId, DeliveryState, EntityEvent, EventKind, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    AttemptRecord, Result,
    deliveries::DeliveryRow,
    page::{Page, Whole},
    row::Row,
};

/// Emits, lists and shows events.
#[async_trait]
pub trait Events: Send + Sync {
    /// Puts an event into the inbox, durably. An id that is taken is [`StoreError::Exists`](crate::StoreError).
    async fn emit(&self, event: EntityEvent) -> Result<()>;

    /// The newest events first, page by page: those behind a place where an earlier page ended, or from the newest on.
    ///
    /// An event that intake takes between two pages is listed once. Where a filter wants few events, a page looks at a bounded number of
    /// them and may be empty.
    async fn events_page(
        &self,
        filter: &EventFilter,
        after: Option<EventPlace>,
    ) -> Result<Page<EntityEvent, EventPlace>>;

    /// The same as a whole, for a list that is known to be short.
    async fn events(&self, filter: EventFilter) -> Result<Vec<EntityEvent>> {
        let mut whole = Whole::new(filter.limit);
        while whole.goes_on() {
            whole.add(self.events_page(&filter, whole.after()).await?);
        }
        Ok(whole.rows())
    }

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

/// Where a page of events ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventPlace {
    /// Among the rows of the inbox, which are newer than what was taken from it.
    Inbox {
        /// The key of the last row (`observer_inbox.place`, PostgreSQL only).
        place: i64,
        /// The key of the last row (`observer_inbox.seq`).
        seq: i64,
        /// The last event that was listed; it may have been taken meanwhile.
        event: Option<Uuid>,
    },
    /// Among those that were taken: below this number (`observer_events.seq`).
    Taken {
        /// The number.
        below: i64,
    },
}

/// An event and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct EventHistory {
    /// The event.
    pub event: EntityEvent,
    /// Whether it still waits in the inbox.
    pub in_inbox: bool,
    /// Its deliveries: those that are live, and those that have ended, as far as the attempt log knows.
    pub deliveries: Vec<DeliveryRow>,
    /// The attempts so far, the oldest first: the last [`MAX_ATTEMPTS`] of them.
    pub attempts: Vec<AttemptRow>,
    /// Whether there are earlier ones.
    pub has_earlier_attempts: bool,
}

/// Attempts that are shown of an event. They have the memory of some megabytes, and nobody reads more.
pub const MAX_ATTEMPTS: usize = 5000;

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
    /// What else the action said of what it did: a search engine's task, the segments of a text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
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

impl EventHistory {
    /// The history of an event that has these live deliveries and attempts: the last ones first, and one more than is shown.
    pub(crate) fn new(
        event: EntityEvent,
        in_inbox: bool,
        mut deliveries: Vec<DeliveryRow>,
        mut attempts: Vec<AttemptRow>,
    ) -> Self {
        let has_earlier_attempts = attempts.len() > MAX_ATTEMPTS;
        attempts.truncate(MAX_ATTEMPTS);
        attempts.reverse();
        deliveries.extend(ended(&deliveries, &attempts, event.id));
        Self { event, in_inbox, deliveries, attempts, has_earlier_attempts }
    }
}

/// The deliveries that have ended, in the order of their first attempts. One that was replayed is live again.
fn ended(live: &[DeliveryRow], attempts: &[AttemptRow], event_id: Uuid) -> Vec<DeliveryRow> {
    let mut last: Vec<&AttemptRow> = Vec::new();
    for attempt in attempts.iter().filter(|attempt| attempt.delivery_id.is_some()) {
        match last.iter_mut().find(|other| other.delivery_id == attempt.delivery_id) {
            Some(earlier) => *earlier = attempt,
            None => last.push(attempt),
        }
    }
    last.into_iter().filter_map(|attempt| attempt.as_end(live, event_id)).collect()
}

impl AttemptRow {
    /// The delivery that this attempt ended.
    fn as_end(&self, live: &[DeliveryRow], event_id: Uuid) -> Option<DeliveryRow> {
        let id = DeliveryId(self.delivery_id?);
        let status = DeliveryState::ALL
            .into_iter()
            .find(|state| state.is_final() && state.as_str() == self.status)
            .filter(|_| live.iter().all(|delivery| delivery.id != id))?;
        Some(DeliveryRow {
            id,
            event_id,
            observer: self.observer.clone(),
            action: self.action.clone().unwrap_or_default(),
            action_name: self.action_name.clone().unwrap_or_default(),
            status,
            attempts: self.attempt,
            max_attempts: self.max_attempts,
            losses: 0,
            last_error: match status {
                DeliveryState::Succeeded => self.denied(),
                _ => Some(self.message.clone()),
            },
            next_attempt_at: None,
            created_at: self.started_at,
        })
    }

    /// What was denied an attempt that succeeded.
    fn denied(&self) -> Option<String> {
        self.code.as_ref().and_then(|_| AttemptRecord::denied_in(self.details.as_ref()))
    }

    pub(crate) fn read(row: &impl Row) -> Result<Self> {
        let (message, status) = (row.string("message")?, row.string("status")?);
        let (message, details) = match status.as_str() {
            "succeeded" => AttemptRecord::parts_of(message),
            _ => (message, None),
        };
        Ok(Self {
            details,
            delivery_id: row.optional_uuid("delivery_id")?,
            observer: row.string("observer")?,
            action: row.optional_string("action_type")?,
            action_name: row.optional_string("action")?,
            attempt: row.count("attempt")?,
            max_attempts: row.count("max_attempts")?,
            status,
            class: row.optional_string("class")?,
            code: row.optional_string("code")?,
            message,
            http_status: row.http_status()?,
            started_at: row.time("started_at")?,
            duration_us: row.integer("duration_us")?.unsigned_abs(),
            plugin: row.optional_string("plugin")?,
            plugin_digest: row.optional_string("plugin_digest")?,
        })
    }
}
