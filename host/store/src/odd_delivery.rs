//! Live deliveries whose rows somebody wrote by SQL and that cannot be read. A claim puts them aside, each alone: else one of them would hold
//! up all others, since it is found by each claim again.

use crate::{Result, StoreError, intake_batch::Rejected, row::Row};

/// What is counted of a delivery. PostgreSQL has 32 bits for it.
const COUNTS: [&str; 5] = ["attempts", "attempts_before", "uncharged", "losses", "lone_losses"];
const MOST: i64 = i32::MAX as i64;

/// An error for a row that cannot be claimed as it is.
pub(crate) fn check(row: &impl Row) -> Result<()> {
    row.uuid("id")?;
    row.optional_text("ordering_key")?;
    for column in ["observer", "action", "action_type"] {
        row.text(column)?;
    }
    for column in ["event_seq", "position", "event_bytes"] {
        row.integer(column)?;
    }
    match COUNTS.iter().find(|column| !row.integer(column).is_ok_and(|count| (0..MOST).contains(&count))) {
        Some(column) => Err(row.unreadable(column, &"it is no count")),
        None => Ok(()),
    }
}

/// What a person reads of such a row.
pub(crate) fn rejected(row: &impl Row, why: &StoreError) -> Rejected {
    let (id, observer) = (row.shown("id"), row.shown("observer"));
    let reason = format!("the row of the delivery {id} to `{observer}` cannot be read: {why}");
    tracing::error!(observer, delivery_id = id, %why, "a delivery whose row cannot be read is put aside");
    Rejected { event_id: None, entity_type: None, entity_id: None, reason }
}
