-- An observer is disabled, enabled, renamed or removed by its own row alone. A trigger marked each of its deliveries, in the
-- transaction that changed the row: with 300,000 of them intake waited for seconds. Claims look at tb_observer instead.

-- A running host may hold what is changed here; the application must not wait for long behind this.
SET LOCAL lock_timeout = '5s';

DROP TRIGGER tb_observer_toggled ON tb_observer;
DROP TRIGGER tb_observer_inserted_disabled ON tb_observer;
DROP TRIGGER tb_observer_deleted_disabled ON tb_observer;
DROP FUNCTION observer_pause();

CREATE OR REPLACE VIEW observer_pending_retries AS
SELECT d.id, d.observer, d.action, d.action_type, e.entity_type, e.entity_id, e.event_kind,
       d.attempts, d.max_attempts, d.next_attempt_at, d.last_error,
       EXISTS (SELECT 1 FROM tb_observer AS o WHERE o.name = d.observer AND NOT o.enabled) AS observer_disabled,
       d.event_id, d.event_at AS occurred_at, d.created_at
FROM observer_deliveries AS d
     LEFT JOIN observer_events AS e ON e.seq = d.event_seq AND e.occurred_at = d.event_at
WHERE d.state = 'waiting'
ORDER BY d.next_attempt_at;

-- Of deliveries that a program of schema version 3 made, nobody noted the bytes of their events, and claims counted none.
UPDATE observer_deliveries AS d
SET event_bytes = least(coalesce(octet_length(e.data::text), 0)::bigint + coalesce(octet_length(e.old::text), 0), 2147483647)
FROM observer_events AS e
WHERE d.event_bytes = 0 AND e.seq = d.event_seq AND e.occurred_at = d.event_at;

DROP INDEX observer_deliveries_ready;
DROP INDEX observer_deliveries_due;
DROP INDEX observer_deliveries_ready_by_lane;
DROP INDEX observer_deliveries_due_by_lane;
DROP INDEX observer_deliveries_lost;
ALTER TABLE observer_deliveries DROP COLUMN paused;
CREATE INDEX observer_deliveries_ready ON observer_deliveries (priority DESC, event_seq, position)
    WHERE state = 'ready' AND NOT blocked AND losses = 0;
CREATE INDEX observer_deliveries_due ON observer_deliveries (next_attempt_at)
    WHERE state = 'waiting' AND NOT blocked AND losses = 0;
CREATE INDEX observer_deliveries_ready_by_lane
    ON observer_deliveries (observer, action, priority DESC, event_seq, position)
    WHERE state = 'ready' AND NOT blocked AND losses = 0;
CREATE INDEX observer_deliveries_due_by_lane ON observer_deliveries (observer, action, next_attempt_at)
    WHERE state = 'waiting' AND NOT blocked AND losses = 0;
CREATE INDEX observer_deliveries_lost ON observer_deliveries (losses, priority DESC, event_seq, position)
    WHERE losses > 0 AND state <> 'running' AND NOT blocked;

-- What is old is dropped in the order of these, a batch at a time, each from where the one before it ended.
DROP INDEX observer_events_default_by_time;
CREATE INDEX observer_events_default_by_time ON observer_events_default (occurred_at, seq);
DROP INDEX tb_observer_log_default_by_time;
CREATE INDEX tb_observer_log_default_by_time ON tb_observer_log_default (started_at, pk_log);
DROP INDEX observer_dlq_history_by_time;
CREATE INDEX observer_dlq_history_by_time ON observer_dlq_history (at, pk_history);

-- Locks of tables and rows on which only the owner has rights; each is freed when its transaction ends. Whoever takes several takes
-- them in this order:
--     observer_migrations     EXCLUSIVE: migrates, or makes partitions.
--     observer_lock_replays   ROW SHARE: makes dead letters live again. EXCLUSIVE: drops old events.
--     observer_lock_takes     EXCLUSIVE: takes from the inbox.
--     observer_lock_keys      FOR NO KEY UPDATE of a row: decides about the keys with this hash: what is first of an ordering key, or
--                             whether an event's id is there. Of a bounded number; in ascending order.
--     observer_lock_bell      EXCLUSIVE: says whether a host sleeps.
DROP FUNCTION observer_hold_makes(text[]);
DROP TABLE observer_lock_makes;

-- Rows that are inserted as blocked are given their turns by whoever inserts them.
DROP TRIGGER observer_deliveries_came ON observer_deliveries;
CREATE TRIGGER observer_deliveries_came AFTER INSERT ON observer_deliveries
    FOR EACH ROW WHEN (NEW.ordering_key IS NOT NULL AND NOT NEW.blocked) EXECUTE FUNCTION observer_deliveries_came();

-- The sum keeps PostgreSQL from reading all that come behind a new delivery of its key, instead of the one that has the turn.
CREATE OR REPLACE FUNCTION observer_deliveries_came() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM @schema@.observer_hold_keys(ARRAY[NEW.ordering_key]);
    -- First those behind it, which waits for whoever is claiming one of them: if that one then runs, it is seen below.
    UPDATE @schema@.observer_deliveries SET blocked = true
    WHERE ordering_key = NEW.ordering_key AND NOT blocked AND id <> NEW.id AND state <> 'running'
      AND (event_seq + 0, position, id) > (NEW.event_seq, NEW.position, NEW.id);
    UPDATE @schema@.observer_deliveries SET blocked = true
    WHERE id = NEW.id AND NOT blocked
      AND EXISTS (SELECT 1 FROM @schema@.observer_deliveries AS turn
                  WHERE turn.ordering_key = NEW.ordering_key AND NOT turn.blocked AND turn.id <> NEW.id
                    AND (turn.state = 'running'
                         OR (turn.event_seq, turn.position, turn.id) < (NEW.event_seq, NEW.position, NEW.id)));
    RETURN NULL;
END $$;
