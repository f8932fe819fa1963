//! The dead letter queue. An item has the id of its delivery and keeps its own copy of the event and the action.

use aftercommit_core::{DeliveryId, EntityEvent, EventKind, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    EventOrder, Result,
    page::{Page, Whole},
    row::Row,
};

/// Shows, replays and discards dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The newest first, page by page: those behind a place where an earlier page ended, or from the newest on; at most `limit`.
    async fn dead_letters_page(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<Page<DeadLetter, DeadLetterPlace>>;

    /// The newest ones, for a list that is known to be short.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let mut whole = Whole::new(limit);
        while whole.goes_on() {
            whole.add(self.dead_letters_page(&DeadLetterFilter::default(), whole.after(), limit).await?);
        }
        Ok(whole.rows())
    }

    /// How many there are.
    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64>;

    /// The ids in the order of their events, some thousands at a time: those behind a place where an earlier page ended.
    async fn dead_letter_ids(
        &self,
        filter: &DeadLetterFilter,
        after: Option<EventOrder>,
    ) -> Result<Page<DeliveryId, EventOrder>>;

    /// One item.
    async fn dead_letter(&self, id: DeliveryId) -> Result<DeadLetter>;

    /// An error for the first of these that is no item.
    async fn require_dead_letters(&self, ids: &[DeliveryId]) -> Result<()>;

    /// Makes these deliveries again, with the ids they had, a new round of attempts and, if need be, the event restored
    /// from the item's copy; removes the items and writes history: each in one transaction, some of them in the same. An error in the
    /// middle leaves the rest as items, and the next call goes on with them. Returns those that were still items, in the
    /// order in which they were given.
    async fn replay(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<Vec<DeliveryId>>;

    /// Removes items for good and writes history, in the same way. How many there were.
    async fn discard(&self, ids: Vec<DeliveryId>, now: Timestamp) -> Result<usize>;

    /// Replays all items that a filter chooses, in the order of their events, and reports each part of them when it is durable.
    async fn replay_all(
        &self,
        filter: &DeadLetterFilter,
        now: Timestamp,
        replayed: &mut (dyn for<'i> FnMut(&'i [DeliveryId]) + Send),
    ) -> Result<()> {
        let mut next = Some(None);
        while let Some(after) = next {
            let page = self.dead_letter_ids(filter, after).await?;
            for part in page.rows.chunks(PART) {
                replayed(&self.replay(part.to_vec(), now).await?);
            }
            next = page.next.map(Some);
        }
        Ok(())
    }

    /// Discards all items that a filter chooses; how many there were.
    async fn discard_all(&self, filter: &DeadLetterFilter, now: Timestamp) -> Result<usize> {
        let (mut next, mut discarded) = (Some(None), 0);
        while let Some(after) = next {
            let page = self.dead_letter_ids(filter, after).await?;
            for part in page.rows.chunks(PART) {
                discarded += self.discard(part.to_vec(), now).await?;
            }
            next = page.next.map(Some);
        }
        Ok(discarded)
    }

    /// What people did to an item, the oldest first: the last thousand times.
    async fn history(&self, id: DeliveryId) -> Result<Vec<HistoryEntry>>;
}

/// Ids that are read at once, in order: each time, all items are looked through. They have some megabytes.
pub(crate) const MAX_IDS: usize = 50_000;

/// Items between two reports.
const PART: usize = 1000;

/// Which dead letters; all that is given has to fit.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DeadLetterFilter {
    /// Of this observer.
    pub observer: Option<String>,
    /// Of this action: its name within the observer, or its plugin.
    pub action: Option<String>,
    /// Whose last failure had this class.
    pub class: Option<String>,
    /// Whose last failure had this code.
    pub code: Option<String>,
    /// Whose event is of this entity type.
    pub entity_type: Option<String>,
    /// Whose event is of this kind.
    pub event_kind: Option<EventKind>,
    /// That died at this time or later.
    pub since: Option<Timestamp>,
    /// That died before this time.
    pub until: Option<Timestamp>,
}

/// Where a page of dead letters ended: behind this one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterPlace {
    /// When it died, as it is stored.
    pub died_at: String,
    /// Its id, as it is stored.
    pub id: String,
}

/// A page of up to [`MAX_IDS`] ids, of rows with the keys of items.
pub(crate) fn page_of_ids(rows: &[impl Row]) -> Result<Page<DeliveryId, EventOrder>> {
    let ids = rows.iter().map(|row| Ok(DeliveryId(row.uuid("id")?))).collect::<Result<_>>()?;
    let last = rows.last().filter(|_| rows.len() == MAX_IDS);
    Ok(Page::new(ids, last.map(EventOrder::read).transpose()?))
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
