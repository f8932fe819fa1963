//! The order of deliveries by their events.

use aftercommit_core::DeliveryId;
use uuid::Uuid;

use crate::{Result, row::Row};

/// The place of a delivery, or of its dead letter, in the order of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventOrder {
    /// The number of its event.
    pub event_seq: i64,
    /// Its place among the deliveries of that event.
    pub position: i64,
    /// Its id.
    pub id: DeliveryId,
}

impl EventOrder {
    /// The place before all.
    pub(crate) const START: Self = Self { event_seq: i64::MIN, position: 0, id: DeliveryId(Uuid::nil()) };

    pub(crate) fn read(row: &impl Row) -> Result<Self> {
        Ok(Self {
            event_seq: row.integer("event_seq")?,
            position: row.integer("position")?,
            id: DeliveryId(row.uuid("id")?),
        })
    }
}
