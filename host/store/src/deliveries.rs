//! Deliveries as people see them.

use aftercommit_core::{DeliveryId, DeliveryState, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use crate::{AttemptRecord, Result, row::Row};

/// Lists deliveries.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Live deliveries, the oldest first. For a final state or a code, what the attempt log still knows, the newest first: for a code, each
    /// attempt that has it.
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>>;
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
