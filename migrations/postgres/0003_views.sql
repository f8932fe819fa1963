-- aftercommit, schema version 3: views for people.

-- Deliveries that failed and wait for their next attempt, the next one first.
CREATE VIEW observer_pending_retries AS
SELECT d.id, d.observer, d.action, d.action_type, e.entity_type, e.entity_id, e.event_kind,
       d.attempts, d.max_attempts, d.next_attempt_at, d.last_error, d.paused AS observer_disabled,
       d.event_id, d.event_at AS occurred_at, d.created_at
FROM observer_deliveries AS d
     LEFT JOIN observer_events AS e ON e.seq = d.event_seq AND e.occurred_at = d.event_at
WHERE d.state = 'waiting'
ORDER BY d.next_attempt_at;

-- Dead letters whose failure might have passed, but not within the attempts they had; the newest first.
CREATE VIEW observer_retry_exhausted AS
SELECT id, observer, action, action_type, entity_type, entity_id, event_kind, attempts, max_attempts,
       class, code, last_error, http_status, died_at, event_id, occurred_at
FROM observer_dlq_items
WHERE class IN ('transient', 'throttled')
ORDER BY died_at DESC;

-- Every attempt of the last 24 hours that did not succeed, the newest first.
CREATE VIEW observer_recent_failures AS
SELECT l.started_at, l.observer, l.action, l.action_type, e.entity_type, e.entity_id, e.event_kind,
       l.status, l.attempt, l.max_attempts, l.class, l.code, l.message, l.http_status, l.duration_us,
       l.delivery_id, l.event_id
FROM tb_observer_log AS l LEFT JOIN observer_events AS e ON e.id = l.event_id
WHERE l.status <> 'succeeded' AND l.started_at >= now() - interval '1 day'
ORDER BY l.started_at DESC;
