//! The condition of a capture, as SQL inside its trigger.

use super::{capture_function::Predicates, capture_table::Table, session::Session};
use crate::{Capture, Result, StoreError};

/// For which changes of the table an event is made.
pub(super) async fn compile(
    _session: &mut Session<'_>,
    _table: &Table,
    _capture: &Capture,
    condition: &str,
) -> Result<Predicates> {
    Err(StoreError::Refused(condition.to_owned()))
}
