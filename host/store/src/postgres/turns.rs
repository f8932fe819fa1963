//! Which of the live deliveries with one ordering key has the turn: it is the one that is not blocked. A trigger of the table finds a
//! place for a row that is inserted unblocked. Whoever makes many inserts them blocked, and gives the turns when all are there: an index
//! keeps each row that was unblocked for a moment, and each row would read those of all before it.
//!
//! The caller holds the locks of the keys.

use super::{session::Session, statement::statements};
use crate::Result;

statements! {
    /// Of keys of which another than the first has the turn. Waits for whoever is claiming it: if that one then runs, it keeps the turn.
    TAKE_TURNS_BACK = "-- take_turns_back
UPDATE observer_deliveries AS d SET blocked = true
WHERE d.ordering_key = ANY($1) AND NOT d.blocked AND d.state <> 'running'
  AND d.id <> (SELECT first.id FROM observer_deliveries AS first
               WHERE first.ordering_key = d.ordering_key
               ORDER BY first.event_seq, first.position, first.id LIMIT 1)";
    GIVE_TURNS = "-- give_turns
UPDATE observer_deliveries SET blocked = false
WHERE id IN (SELECT (SELECT first.id FROM observer_deliveries AS first
                     WHERE first.ordering_key = k.ordering_key
                     ORDER BY first.event_seq, first.position, first.id LIMIT 1)
             FROM (SELECT DISTINCT unnest($1::text[])) AS k (ordering_key)
             WHERE NOT EXISTS (SELECT 1 FROM observer_deliveries AS turn
                               WHERE turn.ordering_key = k.ordering_key AND NOT turn.blocked))";
}

/// After blocked deliveries with these keys were inserted.
pub(super) async fn give(session: &mut Session<'_>, keys: &[&str]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    TAKE_TURNS_BACK.call().bind(keys).execute(session).await?;
    GIVE_TURNS.call().bind(keys).execute(session).await?;
    Ok(())
}
