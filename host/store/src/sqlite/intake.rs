//! From the inbox to deliveries.

use std::{collections::HashSet, sync::Arc};

use aftercommit_core::{EntityEvent, Timestamp};
use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    SqliteStore,
    connection::Sync,
    event_row::{self, Rejected},
    statement::{rows_as_json, statements},
};
use crate::{ClaimedDelivery, Intake, NewDelivery, Plan, Result, TakeRequest, Taken};

statements! {
    INBOX_HAS_ROWS = "-- inbox_has_rows
SELECT EXISTS (SELECT 1 FROM observer_inbox)";
    TAKE_INBOX = "-- take_inbox
SELECT i.seq, e.id AS event_id, e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data, e.old, e.changed,
       e.tenant_id, e.actor, e.traceparent
FROM observer_inbox AS i LEFT JOIN observer_events AS e ON e.seq = i.seq
ORDER BY i.seq LIMIT ?1";
    /// The write lock is held: what is there up to the last row that was read is what was read.
    EMPTY_INBOX = "-- empty_inbox
DELETE FROM observer_inbox WHERE seq <= ?1";
    LIVE_IDS = "-- live_ids
SELECT id FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
    LIVE_KEYS = "-- live_keys
SELECT DISTINCT ordering_key FROM observer_deliveries
WHERE ordering_key IN (SELECT value FROM json_each(?1))";
    DISABLED_OBSERVERS = "-- disabled_observers
SELECT name FROM tb_observer WHERE enabled = 0";
    INSERT_DELIVERIES = "-- insert_deliveries
INSERT INTO observer_deliveries
    (id, event_seq, position, observer, action, action_type, priority, max_attempts, ordering_key, paused,
     state, attempts, owner, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
       value ->> 8, value ->> 9,
       iif(value ->> 10, 'running', 'ready'), value ->> 10, iif(value ->> 10, ?2, NULL), ?3
FROM json_each(?1)";
    INSERT_CONDITION_ERRORS = "-- insert_condition_errors
INSERT INTO tb_observer_log
    (event_id, observer, attempt, max_attempts, status, code, message, started_at, duration_us)
SELECT value ->> 0, value ->> 1, 0, 0, 'condition_error', 'condition_error', value ->> 2, ?2, 0
FROM json_each(?1)";
    QUARANTINE_EVENTS = "-- quarantine_events
INSERT INTO observer_quarantine (event_seq, event_id, entity_type, entity_id, reason, quarantined_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, ?2
FROM json_each(?1)";
}

#[async_trait]
impl Intake for SqliteStore {
    async fn take(&self, request: TakeRequest, plan: Arc<dyn Plan>) -> Result<Taken> {
        // Looked at without the write lock first: an idle host leaves the database alone.
        if request.limit == 0 || !self.inbox_has_rows().await? {
            return Ok(Taken::default());
        }
        let mut write = self.inner.connections.write("take", Sync::Later).await?;
        let Some(inbox) = read_inbox(&mut write, request.limit).await? else { return Ok(Taken::default()) };
        let mut batch = Batch::of(inbox.events, &*plan);
        batch.drop_live(&mut write).await?;
        batch.assign(&mut write, request.own).await?;
        batch.insert(&mut write, request).await?;
        quarantine(&mut write, &inbox.rejected, request.now).await?;
        EMPTY_INBOX.call().bind(inbox.last_seq).execute(&mut write).await?;
        write.commit().await?;
        let more = inbox.rows == request.limit;
        Ok(batch.into_taken(inbox.rejected, more))
    }

    async fn doorbell(&self) {
        self.inner.doorbell.wait(self).await;
    }
}

impl SqliteStore {
    pub(super) async fn inbox_has_rows(&self) -> Result<bool> {
        let mut connection = self.inner.connections.read().await?;
        INBOX_HAS_ROWS.call().value(&mut connection).await
    }
}

/// What was read from the inbox.
struct Inbox {
    rows: usize,
    last_seq: i64,
    events: Vec<(i64, Arc<EntityEvent>)>,
    rejected: Vec<(i64, Rejected)>,
}

/// `None` when there is nothing.
async fn read_inbox(connection: &mut SqliteConnection, limit: usize) -> Result<Option<Inbox>> {
    let records = TAKE_INBOX.call().bind_limit(limit).all(connection).await?;
    let Some(last) = records.last() else { return Ok(None) };
    let mut inbox = Inbox {
        rows: records.len(),
        last_seq: last.get("seq")?,
        events: Vec::with_capacity(records.len()),
        rejected: Vec::new(),
    };
    for record in &records {
        let seq = record.get("seq")?;
        match event_row::read(record)? {
            Ok(event) => inbox.events.push((seq, Arc::new(event))),
            Err(rejected) => inbox.rejected.push((seq, rejected)),
        }
    }
    Ok(Some(inbox))
}

pub(super) async fn quarantine(
    connection: &mut SqliteConnection,
    rejected: &[(i64, Rejected)],
    now: Timestamp,
) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rejected
        .iter()
        .map(|(seq, row)| (seq, &row.event_id, &row.entity_type, &row.entity_id, &row.reason))
        .collect();
    QUARANTINE_EVENTS.call().bind(rows_as_json(&rows)).bind_time(now).execute(connection).await?;
    Ok(())
}

/// The deliveries and condition errors of one batch of events.
struct Batch {
    events: usize,
    planned: Vec<PlannedDelivery>,
    errors: Vec<(Uuid, Arc<str>, String)>,
}

struct PlannedDelivery {
    delivery: NewDelivery,
    event: Arc<EntityEvent>,
    event_seq: i64,
    position: usize,
    paused: bool,
    owned: bool,
}

impl Batch {
    fn of(events: Vec<(i64, Arc<EntityEvent>)>, plan: &dyn Plan) -> Self {
        let mut batch =
            Self { events: events.len(), planned: Vec::with_capacity(events.len()), errors: Vec::new() };
        for (event_seq, event) in events {
            let planned = plan.plan(&event);
            batch
                .errors
                .extend(planned.errors.into_iter().map(|error| (event.id, error.observer, error.message)));
            batch.planned.extend(planned.deliveries.into_iter().enumerate().map(|(position, delivery)| {
                PlannedDelivery {
                    delivery,
                    event: Arc::clone(&event),
                    event_seq,
                    position,
                    paused: false,
                    owned: false,
                }
            }));
        }
        batch
    }

    /// Leaves out what exists already, or twice in the batch: an event that was put into the inbox again.
    async fn drop_live(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        if self.planned.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = self.planned.iter().map(|planned| planned.delivery.id).collect();
        let mut live = HashSet::new();
        for record in LIVE_IDS.call().bind(rows_as_json(&ids)).all(connection).await? {
            live.insert(record.parse::<Uuid>("id")?);
        }
        self.planned.retain(|planned| live.insert(planned.delivery.id.0));
        Ok(())
    }

    /// Decides which deliveries run at once: the first `own` that nothing holds up.
    async fn assign(&mut self, connection: &mut SqliteConnection, own: usize) -> Result<()> {
        let disabled: HashSet<String> = DISABLED_OBSERVERS
            .call()
            .all(connection)
            .await?
            .iter()
            .map(|record| record.get("name"))
            .collect::<Result<_>>()?;
        let mut taken_keys = self.live_keys(connection).await?;
        let mut left = own;
        for planned in &mut self.planned {
            planned.paused = disabled.contains(&*planned.delivery.observer);
            let first =
                planned.delivery.ordering_key.as_ref().is_none_or(|key| taken_keys.insert(key.clone()));
            planned.owned = left > 0 && first && !planned.paused && !planned.delivery.hold;
            left -= usize::from(planned.owned);
        }
        Ok(())
    }

    /// Those of the batch's ordering keys that have live deliveries.
    async fn live_keys(&self, connection: &mut SqliteConnection) -> Result<HashSet<String>> {
        let keys: Vec<_> =
            self.planned.iter().filter_map(|planned| planned.delivery.ordering_key.as_ref()).collect();
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let live = LIVE_KEYS.call().bind(rows_as_json(&keys)).all(connection).await?;
        live.iter().map(|record| record.get("ordering_key")).collect()
    }

    async fn insert(&self, connection: &mut SqliteConnection, request: TakeRequest) -> Result<()> {
        if !self.planned.is_empty() {
            INSERT_DELIVERIES
                .call()
                .bind(rows_as_json(&self.planned.iter().map(PlannedDelivery::row).collect::<Vec<_>>()))
                .bind(request.host.to_string())
                .bind_time(request.now)
                .execute(connection)
                .await?;
        }
        if !self.errors.is_empty() {
            INSERT_CONDITION_ERRORS
                .call()
                .bind(rows_as_json(&self.error_rows()))
                .bind_time(request.now)
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    /// For `insert_condition_errors`.
    fn error_rows(&self) -> Vec<(Uuid, &str, &str)> {
        self.errors.iter().map(|(event, observer, message)| (*event, &**observer, message.as_str())).collect()
    }

    fn into_taken(self, rejected: Vec<(i64, Rejected)>, more: bool) -> Taken {
        let made = self.planned.len();
        let owned: Vec<_> = self
            .planned
            .into_iter()
            .filter(|planned| planned.owned)
            .map(PlannedDelivery::into_claimed)
            .collect();
        Taken {
            events: self.events,
            quarantined: rejected.into_iter().map(|(_, row)| named(row)).collect(),
            condition_errors: self.errors.len(),
            ready: made - owned.len(),
            owned,
            more,
        }
    }
}

impl PlannedDelivery {
    /// For `insert_deliveries`.
    fn row(&self) -> impl serde::Serialize {
        let NewDelivery { id, observer, action, action_type, priority, max_attempts, ordering_key, hold: _ } =
            &self.delivery;
        (
            id,
            self.event_seq,
            self.position,
            &**observer,
            &**action,
            &**action_type,
            priority,
            max_attempts,
            ordering_key,
            u8::from(self.paused),
            u8::from(self.owned),
        )
    }

    fn into_claimed(self) -> ClaimedDelivery {
        let NewDelivery { id, observer, action, action_type, .. } = self.delivery;
        ClaimedDelivery {
            id,
            event: self.event,
            observer,
            action,
            action_type,
            attempt: 1,
            attempts_before: 0,
        }
    }
}

/// An id that is none is named in the reason.
fn named(row: Rejected) -> (Uuid, String) {
    let id = row.event_id.as_deref().and_then(|id| id.parse().ok());
    let reason = match (&id, row.event_id) {
        (None, Some(written)) => format!("{} (`{written}`)", row.reason),
        _ => row.reason,
    };
    (id.unwrap_or(Uuid::nil()), reason)
}
