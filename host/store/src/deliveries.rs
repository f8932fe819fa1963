//! Deliveries as people see them.

use aftercommit_core::{DeliveryId, DeliveryState, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    AttemptRecord, EventOrder, Result,
    page::{Page, Whole},
    row::Row,
};

/// Lists deliveries.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Live deliveries, the oldest first. For a final state or a code, what the attempt log still knows, the newest first: for a code, each
    /// attempt that has it. Those behind a place where an earlier page ended, or from the first on; a page of the log looks at a
    /// bounded number of attempts and may be empty.
    async fn deliveries_page(
        &self,
        filter: &DeliveryFilter,
        after: Option<DeliveryPlace>,
    ) -> Result<Page<DeliveryRow, DeliveryPlace>>;

    /// The same as a whole, for a list that is known to be short.
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>> {
        let mut whole = Whole::new(filter.limit);
        while whole.goes_on() {
            whole.add(self.deliveries_page(&filter, whole.after()).await?);
        }
        Ok(whole.rows())
    }
}

/// Where a page of deliveries ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryPlace {
    /// Among those that are live: the last one.
    Live(EventOrder),
    /// In the attempt log: below this number (`tb_observer_log.pk_log`).
    Log {
        /// The number.
        below: i64,
    },
}

/// Which deliveries to list.
#[derive(Clone, Default, Debug)]
pub struct DeliveryFilter {
    /// Only in this state; without one, all that are live.
    pub state: Option<DeliveryState>,
    /// Only of this observer.
    pub observer: Option<String>,
    /// Only attempts with this code: those that failed with it or, for [`AttemptRecord::DENIED`], succeeded although something was denied.
    pub code: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// One delivery.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// The event it delivers.
    pub event_id: Uuid,
    /// Name of the observer.
    pub observer: String,
    /// Name of the action's plugin.
    pub action: String,
    /// Name of the action within the observer.
    pub action_name: String,
    /// Where it stands.
    pub status: DeliveryState,
    /// Attempts so far, a running one included.
    pub attempts: u32,
    /// Attempts before it is given up.
    pub max_attempts: u32,
    /// How many hosts in a row died while they owned it.
    pub losses: u32,
    /// What went wrong last. Of one that succeeded: what was denied, if anything was.
    pub last_error: Option<String>,
    /// When it is due, if it waits.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was made (of an ended one: when its last attempt started).
    pub created_at: Timestamp,
}

impl DeliveryFilter {
    /// Whether the attempt log is what to list: only it knows ends and codes.
    pub(crate) fn is_of_log(&self) -> bool {
        self.code.is_some() || self.state.is_some_and(DeliveryState::is_final)
    }
}

impl DeliveryPlace {
    /// The live delivery that a page begins behind.
    pub(crate) const fn live(after: Option<Self>) -> EventOrder {
        match after {
            Some(Self::Live(last)) => last,
            _ => EventOrder::START,
        }
    }

    /// The number that a page begins below, of the attempt log.
    pub(crate) const fn log(after: Option<Self>) -> i64 {
        match after {
            Some(Self::Log { below }) => below,
            _ => i64::MAX,
        }
    }
}

impl DeliveryRow {
    pub(crate) fn read(row: &impl Row) -> Result<Self> {
        let (status, last_error) = (row.word("status")?, row.optional_string("last_error")?);
        let last_error = match status {
            DeliveryState::Succeeded => {
                let details = last_error.and_then(|message| AttemptRecord::parts_of(message).1);
                AttemptRecord::denied_in(details.as_ref())
            }
            _ => last_error,
        };
        Ok(Self {
            id: DeliveryId(row.uuid("id")?),
            event_id: row.uuid("event_id")?,
            observer: row.string("observer")?,
            action: row.string("action_type")?,
            action_name: row.string("action")?,
            status,
            attempts: row.count("attempts")?,
            max_attempts: row.count("max_attempts")?,
            losses: row.count("losses")?,
            last_error,
            next_attempt_at: row.optional_time("next_attempt_at")?,
            created_at: row.time("created_at")?,
        })
    }
}
