//! The end of attempts, many at a time, in one statement: each that is still owned as (host, attempt) is logged, and its
//! delivery moves on or is deleted. Those that die are copied to the dead letter queue just before. What the statement does not find in that state stays as it is.

use std::collections::HashSet;

use aftercommit_core::{DeliveryId, FailureClass};
use uuid::Uuid;

use super::{
    locks,
    session::Session,
    statement::{int, statements},
    time::At,
};
use crate::{Completion, CompletionReport, End, HostId, Result, row::Row as _};

statements! {
    /// The planner takes the arguments for a few rows and the running deliveries for one, and would compare each of
    /// some hundred with each: that was nine tenths of the time.
    JOIN_BY_HASH = "-- join_by_hash
SET LOCAL enable_nestloop TO off";
    /// Copies what is about to be deleted, and locks it until then. A dead letter with the same id is an earlier end of the same delivery, made again by hand: this one counts.
    BURY_DELIVERIES = "-- bury_deliveries
WITH c AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::text[],
                         $8::integer[], $9::timestamptz[])
        AS c (id, attempt, action_config, max_attempts, class, code, message, http_status, died_at)
), d AS MATERIALIZED (
    SELECT d.* FROM observer_deliveries AS d JOIN c ON d.id = c.id AND d.attempts = c.attempt
    WHERE d.state = 'running' AND d.owner = $10
    FOR UPDATE OF d
)
INSERT INTO observer_dlq_items
    (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, old, changed, tenant_id, actor,
     traceparent, position, observer, action, action_type, action_config, priority, ordering_key, attempts,
     attempts_before, max_attempts, class, code, last_error, http_status, died_at)
SELECT d.id, d.event_seq, d.event_id, e.entity_type, e.entity_id, e.event_kind, d.event_at, e.data, e.old, e.changed,
       e.tenant_id, e.actor, e.traceparent, d.position, d.observer, d.action, d.action_type, c.action_config::json,
       d.priority, d.ordering_key, d.attempts, d.attempts_before + d.uncharged, c.max_attempts, c.class, c.code, c.message,
       c.http_status, c.died_at
FROM d JOIN c ON c.id = d.id AND c.attempt = d.attempts
     LEFT JOIN observer_events AS e ON e.seq = d.event_seq AND e.occurred_at = d.event_at
ON CONFLICT (id) DO UPDATE
SET action_type = excluded.action_type, action_config = excluded.action_config, priority = excluded.priority,
    ordering_key = excluded.ordering_key, attempts = excluded.attempts, attempts_before = excluded.attempts_before,
    max_attempts = excluded.max_attempts, class = excluded.class, code = excluded.code,
    last_error = excluded.last_error, http_status = excluded.http_status, died_at = excluded.died_at";
    /// The collation keeps the index of the running ones out: it would be read as a whole, and each of its rows
    /// compared with each of the ids. The primary key is asked for each id instead.
    COMPLETE_DELIVERIES = "-- complete_deliveries
WITH c AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::text[],
                         $8::integer[], $9::timestamptz[], $10::bigint[], $11::text[], $12::text[], $13::timestamptz[])
        AS c (id, attempt, status, max_attempts, class, code, message, http_status, started_at, duration_us, plugin,
              plugin_digest, retry_at)
), ended AS (
    DELETE FROM observer_deliveries AS d USING c
    WHERE d.id = ANY ($1) AND d.id = c.id AND d.attempts = c.attempt AND d.state = 'running' COLLATE \"C\" AND d.owner = $14 AND c.status <> 'waiting'
    RETURNING d.*
), retried AS (
    UPDATE observer_deliveries AS d
    SET state = 'waiting', owner = NULL, next_attempt_at = c.retry_at,
        waiting_since = c.started_at + c.duration_us * interval '1 microsecond', last_error = c.message,
        max_attempts = c.max_attempts, losses = 0, lone_losses = 0, begun = false
    FROM c
    WHERE d.id = ANY ($1) AND d.id = c.id AND d.attempts = c.attempt AND d.state = 'running' COLLATE \"C\" AND d.owner = $14 AND c.status = 'waiting'
    RETURNING d.*
), applied AS (
    SELECT * FROM ended UNION ALL SELECT * FROM retried
), logged AS (
    INSERT INTO tb_observer_log
        (delivery_id, event_id, observer, action, action_type, attempt, max_attempts, status, class, code, message,
         http_status, started_at, duration_us, plugin, plugin_digest)
    SELECT d.id, d.event_id, d.observer, d.action, d.action_type, d.attempts, c.max_attempts, c.status, c.class,
           c.code, c.message, c.http_status, c.started_at, c.duration_us, c.plugin, c.plugin_digest
    FROM applied AS d JOIN c ON c.id = d.id AND c.attempt = d.attempts
    ORDER BY d.event_seq, d.position
)
SELECT id, attempts FROM applied";
}

/// Ends attempts within the caller's transaction.
pub(super) async fn complete(
    session: &mut Session<'_>,
    host: HostId,
    completions: &[Completion],
) -> Result<CompletionReport> {
    let mut seen = HashSet::with_capacity(completions.len());
    // The second end of one attempt is too late.
    let first: Vec<&Completion> =
        completions.iter().filter(|completion| seen.insert((completion.id, completion.attempt))).collect();
    let ids: Vec<Uuid> = first.iter().map(|completion| completion.id.0).collect();
    locks::keys_of(session, &ids).await?;
    bury(session, host, &first).await?;
    join_by_hash(session).await?;
    let mut applied = apply(session, host, &first, ids).await?;
    let mut report = CompletionReport { applied: applied.len(), ..CompletionReport::default() };
    for completion in completions {
        if !applied.remove(&(completion.id, completion.attempt)) {
            report.stale.push(completion.id);
        }
    }
    Ok(report)
}

/// Copies those that are dead to the dead letter queue.
async fn bury(session: &mut Session<'_>, host: HostId, rows: &[&Completion]) -> Result<()> {
    let dead: Vec<_> = rows
        .iter()
        .filter_map(|row| match &row.end {
            End::Dead { action } => Some((*row, &row.record, action)),
            End::Succeeded | End::Retry { .. } | End::Failed => None,
        })
        .collect();
    if dead.is_empty() {
        return Ok(());
    }
    let records = || dead.iter().map(|(_, record, _)| *record);
    BURY_DELIVERIES
        .call()
        .bind(dead.iter().map(|(row, ..)| row.id.0).collect::<Vec<_>>())
        .bind(dead.iter().map(|(row, ..)| int(row.attempt)).collect::<Vec<_>>())
        .bind(dead.iter().map(|(.., action)| session.storable_json(action)).collect::<Vec<_>>())
        .bind(records().map(|record| int(record.max_attempts)).collect::<Vec<_>>())
        .bind(
            records()
                .map(|record| record.class.map_or("permanent", FailureClass::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(
            records()
                .map(|record| session.storable(record.code.as_deref().unwrap_or("unknown")))
                .collect::<Vec<_>>(),
        )
        .bind(records().map(|record| session.storable(&record.message)).collect::<Vec<_>>())
        .bind(records().map(|record| record.http_status.map(i32::from)).collect::<Vec<_>>())
        .bind(records().map(|record| At(record.started_at.plus(record.duration))).collect::<Vec<_>>())
        .bind(host.0)
        .execute(session)
        .await?;
    Ok(())
}

/// For the rest of the transaction, which joins deliveries with arguments only.
pub(super) async fn join_by_hash(session: &mut Session<'_>) -> Result<()> {
    JOIN_BY_HASH.call().execute(session).await?;
    Ok(())
}

/// Which of them counted, as (delivery, attempt).
async fn apply(
    session: &mut Session<'_>,
    host: HostId,
    rows: &[&Completion],
    ids: Vec<Uuid>,
) -> Result<HashSet<(DeliveryId, u32)>> {
    let records = || rows.iter().map(|row| &row.record);
    let applied = COMPLETE_DELIVERIES
        .call()
        .bind(ids)
        .bind(rows.iter().map(|row| int(row.attempt)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| status(&row.end)).collect::<Vec<_>>())
        .bind(records().map(|record| int(record.max_attempts)).collect::<Vec<_>>())
        .bind(records().map(|record| record.class.map(FailureClass::as_str)).collect::<Vec<_>>())
        .bind(
            records()
                .map(|record| record.code.as_deref().map(|code| session.storable(code)))
                .collect::<Vec<_>>(),
        )
        .bind(records().map(|record| session.storable(&record.message)).collect::<Vec<_>>())
        .bind(records().map(|record| record.http_status.map(i32::from)).collect::<Vec<_>>())
        .bind(records().map(|record| At(record.started_at)).collect::<Vec<_>>())
        .bind(
            records()
                .map(|record| i64::try_from(record.duration.as_micros()).unwrap_or(i64::MAX))
                .collect::<Vec<_>>(),
        )
        .bind(
            records()
                .map(|record| record.plugin.as_deref().map(|plugin| session.storable(plugin)))
                .collect::<Vec<_>>(),
        )
        .bind(records().map(|record| record.plugin_digest.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| retry_at(&row.end)).collect::<Vec<_>>())
        .bind(host.0)
        .all(session)
        .await?;
    applied.iter().map(|record| Ok((DeliveryId(record.get("id")?), record.count("attempts")?))).collect()
}

const fn status(end: &End) -> &'static str {
    match end {
        End::Succeeded => "succeeded",
        End::Retry { .. } => "waiting",
        End::Dead { .. } => "dead",
        End::Failed => "failed",
    }
}

const fn retry_at(end: &End) -> Option<At> {
    match end {
        End::Retry { at } => Some(At(*at)),
        End::Succeeded | End::Dead { .. } | End::Failed => None,
    }
}
