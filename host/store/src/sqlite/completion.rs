//! The end of attempts, many at a time: each is logged, and its delivery moves on or is deleted.
//!
//! The first statement also decides which completions are still owned as (host, attempt). The write lock is held, so
//! what it decided stays true for those that follow.

use std::collections::{HashMap, HashSet};

use aftercommit_core::DeliveryId;
use rusqlite::Connection;

use super::statement::{rows_as_json, statements};
use crate::{AttemptRecord, Completion, CompletionReport, End, HostId, Result, row::Row as _};

statements! {
    EVENT_BYTES = "-- event_bytes
SELECT id, event_bytes FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
    /// Those that are owned by nobody, by another, or in another attempt.
    STALE_COMPLETIONS = "-- stale_completions
SELECT key FROM json_each(?1) AS c
WHERE NOT EXISTS (SELECT 1 FROM observer_deliveries AS d
                  WHERE d.id = c.value ->> 0 AND d.attempts = c.value ->> 1
                    AND d.state = 'running' AND d.owner = ?2)";
    LOG_ATTEMPTS = "-- log_attempts
INSERT INTO tb_observer_log
    (delivery_id, event_id, observer, action, action_type, attempt, max_attempts, status, class, code, message,
     http_status, started_at, duration_us, plugin, plugin_digest)
SELECT d.id, e.id, d.observer, d.action, d.action_type, d.attempts,
       c.value ->> 1, c.value ->> 2, c.value ->> 3, c.value ->> 4, c.value ->> 5,
       c.value ->> 6, c.value ->> 7, c.value ->> 8, c.value ->> 9, c.value ->> 10
FROM json_each(?1) AS c
     CROSS JOIN observer_deliveries AS d ON d.id = c.value ->> 0
     LEFT JOIN observer_events AS e ON e.seq = d.event_seq";
    RETRY_DELIVERIES = "-- retry_deliveries
UPDATE observer_deliveries
SET state = 'waiting', owner = NULL, next_attempt_at = c.at, waiting_since = c.since, last_error = c.last_error, max_attempts = c.max_attempts,
    losses = 0, lone_losses = 0, begun = 0
FROM (SELECT value ->> 0 AS id, value ->> 1 AS at, value ->> 2 AS last_error, value ->> 3 AS max_attempts,
             value ->> 4 AS since
      FROM json_each(?1)) AS c
WHERE observer_deliveries.id = c.id";
    /// A dead letter with the same id is an earlier end of the same delivery, made again by hand: this one counts.
    BURY_DELIVERIES = "-- bury_deliveries
INSERT OR REPLACE INTO observer_dlq_items
    (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
     traceparent, position, observer, action, action_type, action_config, priority, ordering_key, attempts,
     attempts_before, max_attempts, class, code, last_error, http_status, died_at)
SELECT d.id, d.event_seq, coalesce(e.id, ''), e.entity_type, e.entity_id, e.event_kind, e.occurred_at, e.data, e.old,
       e.changed, e.tenant_id, e.actor, e.traceparent, d.position, d.observer, d.action, d.action_type,
       c.value ->> 1, d.priority, d.ordering_key, d.attempts, d.attempts_before + d.uncharged, c.value ->> 2, c.value ->> 3,
       c.value ->> 4, c.value ->> 5, c.value ->> 6, c.value ->> 7
FROM json_each(?1) AS c
     CROSS JOIN observer_deliveries AS d ON d.id = c.value ->> 0
     LEFT JOIN observer_events AS e ON e.seq = d.event_seq";
    END_DELIVERIES = "-- end_deliveries
DELETE FROM observer_deliveries WHERE id IN (SELECT value FROM json_each(?1))";
}

/// How large the events of these deliveries are.
pub(super) fn bytes_of(connection: &Connection, ids: &[DeliveryId]) -> Result<HashMap<DeliveryId, usize>> {
    let records = EVENT_BYTES.call().bind(rows_as_json(ids)).all(connection)?;
    records
        .iter()
        .map(|record| {
            let bytes = usize::try_from(record.integer("event_bytes")?).unwrap_or(0);
            Ok((DeliveryId(record.uuid("id")?), bytes))
        })
        .collect()
}

/// Ends attempts within the caller's transaction.
pub(super) fn complete(
    connection: &Connection,
    host: HostId,
    completions: &[Completion],
) -> Result<CompletionReport> {
    let (owned, stale) = fence(connection, host, completions)?;
    if owned.is_empty() {
        return Ok(CompletionReport { stale, ..CompletionReport::default() });
    }
    let log: Vec<_> = owned.iter().copied().map(log_row).collect();
    LOG_ATTEMPTS.call().bind(rows_as_json(&log)).execute(connection)?;

    let retries: Vec<_> = owned.iter().copied().filter_map(retry_row).collect();
    if !retries.is_empty() {
        RETRY_DELIVERIES.call().bind(rows_as_json(&retries)).execute(connection)?;
    }
    let dead: Vec<_> = owned.iter().copied().filter_map(dead_row).collect();
    if !dead.is_empty() {
        BURY_DELIVERIES.call().bind(rows_as_json(&dead)).execute(connection)?;
    }
    let ended: Vec<_> = owned
        .iter()
        .filter(|completion| !matches!(completion.end, End::Retry { .. }))
        .map(|completion| completion.id)
        .collect();
    if !ended.is_empty() {
        END_DELIVERIES.call().bind(rows_as_json(&ended)).execute(connection)?;
    }
    Ok(CompletionReport { applied: owned.len(), stale, unwritten: Vec::new() })
}

/// Parts the completions that still count from those that came too late. The second end of one attempt is too late.
fn fence<'c>(
    connection: &Connection,
    host: HostId,
    completions: &'c [Completion],
) -> Result<(Vec<&'c Completion>, Vec<DeliveryId>)> {
    let claims: Vec<_> = completions.iter().map(|completion| (completion.id, completion.attempt)).collect();
    let late: HashSet<usize> = STALE_COMPLETIONS
        .call()
        .bind(rows_as_json(&claims))
        .bind(host.to_string())
        .all(connection)?
        .iter()
        .map(|record| record.get::<u32>("key").map(|key| key as usize))
        .collect::<Result<_>>()?;
    let mut seen = HashSet::with_capacity(completions.len());
    let mut stale = Vec::new();
    let mut owned = Vec::with_capacity(completions.len());
    for (key, completion) in completions.iter().enumerate() {
        if late.contains(&key) || !seen.insert(completion.id) {
            stale.push(completion.id);
        } else {
            owned.push(completion);
        }
    }
    Ok((owned, stale))
}

/// For `log_attempts`.
fn log_row(completion: &Completion) -> impl serde::Serialize {
    let record = &completion.record;
    let status = match completion.end {
        End::Succeeded => "succeeded",
        End::Retry { .. } => "waiting",
        End::Dead { .. } => "dead",
        End::Failed => "failed",
    };
    (
        completion.id,
        record.max_attempts,
        status,
        record.class,
        &record.code,
        &record.message,
        record.http_status,
        record.started_at,
        u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX),
        record.plugin.as_deref(),
        record.plugin_digest.as_deref(),
    )
}

/// For `retry_deliveries`.
fn retry_row(completion: &Completion) -> Option<impl serde::Serialize> {
    let End::Retry { at } = completion.end else { return None };
    let AttemptRecord { message, max_attempts, started_at, duration, .. } = &completion.record;
    Some((completion.id, at, message, max_attempts, started_at.plus(*duration)))
}

/// For `bury_deliveries`.
fn dead_row(completion: &Completion) -> Option<impl serde::Serialize> {
    let End::Dead { action } = &completion.end else { return None };
    let AttemptRecord { max_attempts, class, code, message, http_status, started_at, duration, .. } =
        &completion.record;
    let class = class.map_or("permanent", aftercommit_core::FailureClass::as_str);
    let code = code.as_deref().unwrap_or("unknown");
    // As text: SQLite would read a nested value with its own idea of numbers.
    let action = action.to_string();
    Some((completion.id, action, max_attempts, class, code, message, http_status, started_at.plus(*duration)))
}
