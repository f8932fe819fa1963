-- An observer is disabled, enabled, renamed or removed by its own row alone. Triggers marked each of its deliveries, in the statement
-- that changed the row: with 300,000 of them the application waited for seconds. Claims look at tb_observer instead.
DROP TRIGGER tb_observer_toggled;
DROP TRIGGER tb_observer_inserted_disabled;
DROP TRIGGER tb_observer_deleted_disabled;
DROP TRIGGER tb_observer_renamed;

-- The column `paused` is left, and nothing reads it: SQLite drops no column while a trigger or view of the application names a table
-- that is not there.
DROP INDEX observer_deliveries_ready;
DROP INDEX observer_deliveries_due;
DROP INDEX observer_deliveries_ready_by_lane;
DROP INDEX observer_deliveries_due_by_lane;
DROP INDEX observer_deliveries_lost;
CREATE INDEX observer_deliveries_ready ON observer_deliveries (priority DESC, event_seq, position)
    WHERE state = 'ready' AND blocked = 0 AND losses = 0;
CREATE INDEX observer_deliveries_due ON observer_deliveries (next_attempt_at)
    WHERE state = 'waiting' AND blocked = 0 AND losses = 0;
CREATE INDEX observer_deliveries_ready_by_lane
    ON observer_deliveries (observer, action, priority DESC, event_seq, position)
    WHERE state = 'ready' AND blocked = 0 AND losses = 0;
CREATE INDEX observer_deliveries_due_by_lane ON observer_deliveries (observer, action, next_attempt_at)
    WHERE state = 'waiting' AND blocked = 0 AND losses = 0;
CREATE INDEX observer_deliveries_lost ON observer_deliveries (losses, priority DESC, event_seq, position)
    WHERE losses > 0 AND state <> 'running' AND blocked = 0;

DROP VIEW observer_pending_retries;
CREATE VIEW observer_pending_retries AS
SELECT d.id, d.observer, d.action, d.action_type, e.entity_type, e.entity_id, e.event_kind,
       d.attempts, d.max_attempts, d.next_attempt_at, d.last_error,
       EXISTS (SELECT 1 FROM tb_observer AS o WHERE o.name = d.observer AND o.enabled = 0) AS observer_disabled,
       e.id AS event_id, e.occurred_at, d.created_at
FROM observer_deliveries AS d LEFT JOIN observer_events AS e ON e.seq = d.event_seq
WHERE d.state = 'waiting'
ORDER BY d.next_attempt_at;

-- The `+` keeps SQLite from reading all that come behind a new delivery of its key, instead of the one that has the turn.
DROP TRIGGER observer_deliveries_came;
CREATE TRIGGER observer_deliveries_came AFTER INSERT ON observer_deliveries
WHEN NEW.ordering_key IS NOT NULL BEGIN
    UPDATE observer_deliveries SET blocked = 1
    WHERE id = NEW.id
      AND EXISTS (SELECT 1 FROM observer_deliveries AS turn
                  WHERE turn.ordering_key = NEW.ordering_key AND turn.blocked = 0 AND turn.id <> NEW.id
                    AND (turn.state = 'running'
                         OR (turn.event_seq, turn.position, turn.id) < (NEW.event_seq, NEW.position, NEW.id)));
    UPDATE observer_deliveries SET blocked = 1
    WHERE ordering_key = NEW.ordering_key AND blocked = 0 AND id <> NEW.id AND state <> 'running'
      AND (+event_seq, position, id) > (NEW.event_seq, NEW.position, NEW.id);
END;
