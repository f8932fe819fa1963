//! Locks of transactions, for what row locks can not say: that no row may come. They are locks of tables, and of rows, on
//! which only the owner has rights: whoever can connect can take an advisory lock, and keep all others waiting. The list of them is in
//! `migrations/postgres/0008_disabled.sql`; each is freed when its transaction ends. Whoever takes several takes them in
//! the order of that list.

use super::{
    session::Session,
    statement::{Statement, statements},
};
use crate::Result;

statements! {
    LOCK_MIGRATIONS = "-- lock_migrations
LOCK TABLE observer_migrations IN EXCLUSIVE MODE";
    LOCK_REPLAYS = "-- lock_replays
LOCK TABLE observer_lock_replays IN ROW SHARE MODE";
    LOCK_PURGE = "-- lock_purge
LOCK TABLE observer_lock_replays IN EXCLUSIVE MODE";
    LOCK_TAKES = "-- lock_takes
LOCK TABLE observer_lock_takes IN EXCLUSIVE MODE";
    LOCK_KEYS = "-- lock_keys
SELECT observer_hold_keys($1)::text";
    /// The keys of deliveries that are about to end or to stop. Looks for the keys only where there are any at all.
    LOCK_KEYS_OF = "-- lock_keys_of
SELECT observer_hold_keys(ARRAY(SELECT ordering_key FROM observer_deliveries
                                WHERE id = ANY($1) AND ordering_key IS NOT NULL))::text
WHERE EXISTS (SELECT 1 FROM observer_deliveries WHERE ordering_key IS NOT NULL)";
    /// Ids are unique over all days: whoever emits this one at the same time waits here.
    LOCK_EVENT_ID = "-- lock_event_id
SELECT observer_hold_keys(ARRAY[$1::uuid::text])::text";
}

/// Before tables are made, but for that of the migrations: another process may be making them as well.
pub(super) async fn migrations(session: &mut Session<'_>) -> Result<()> {
    alone(LOCK_MIGRATIONS, session).await
}

/// Old events stay while dead letters that need them are made live again.
pub(super) async fn replays(session: &mut Session<'_>) -> Result<()> {
    alone(LOCK_REPLAYS, session).await
}

/// Dead letters stay dead while old events are dropped.
pub(super) async fn purge(session: &mut Session<'_>) -> Result<()> {
    alone(LOCK_PURGE, session).await
}

/// Before rows are taken from the inbox. Others pass over rows that are being taken: they would take what comes behind
/// those, and events would be numbered in another order than their changes were made.
pub(super) async fn takes(session: &mut Session<'_>) -> Result<()> {
    alone(LOCK_TAKES, session).await
}

/// Before deliveries with these ordering keys are made.
pub(super) async fn keys(session: &mut Session<'_>, keys: &[&str]) -> Result<()> {
    LOCK_KEYS.call().bind(keys).execute(session).await?;
    Ok(())
}

/// Before these deliveries end or stop.
pub(super) async fn keys_of(session: &mut Session<'_>, ids: &[uuid::Uuid]) -> Result<()> {
    LOCK_KEYS_OF.call().bind(ids).execute(session).await?;
    Ok(())
}

/// Before an event with this id is looked for and, if there is none, emitted.
pub(super) async fn event_id(session: &mut Session<'_>, id: uuid::Uuid) -> Result<()> {
    LOCK_EVENT_ID.call().bind(id).execute(session).await?;
    Ok(())
}

async fn alone(statement: Statement, session: &mut Session<'_>) -> Result<()> {
    statement.call().execute(session).await?;
    Ok(())
}
