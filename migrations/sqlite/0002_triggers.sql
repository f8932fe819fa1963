-- aftercommit, schema version 2: what the tables keep right by themselves, whoever writes to them.

-- The revision of the observers.
CREATE TRIGGER tb_observer_inserted AFTER INSERT ON tb_observer BEGIN
    UPDATE observer_revision SET revision = revision + 1;
END;

CREATE TRIGGER tb_observer_updated AFTER UPDATE ON tb_observer BEGIN
    UPDATE observer_revision SET revision = revision + 1;
END;

CREATE TRIGGER tb_observer_deleted AFTER DELETE ON tb_observer BEGIN
    UPDATE observer_revision SET revision = revision + 1;
END;

-- A change by plain SQL is dated too.
CREATE TRIGGER tb_observer_dated AFTER UPDATE ON tb_observer
WHEN OLD.updated_at IS NEW.updated_at BEGIN
    UPDATE tb_observer SET updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
    WHERE pk_observer = NEW.pk_observer;
END;

-- Deliveries of a disabled observer leave the indexes that claims read: a great many of them cost nothing.
CREATE TRIGGER tb_observer_toggled AFTER UPDATE OF enabled ON tb_observer
WHEN OLD.enabled IS NOT NEW.enabled BEGIN
    UPDATE observer_deliveries SET paused = NOT NEW.enabled
    WHERE observer = NEW.name AND paused <> (NOT NEW.enabled);
END;

CREATE TRIGGER tb_observer_inserted_disabled AFTER INSERT ON tb_observer
WHEN NOT NEW.enabled BEGIN
    UPDATE observer_deliveries SET paused = 1 WHERE observer = NEW.name AND paused = 0;
END;

-- Those of an observer that is gone do not wait for ever: a host claims them and ends them for that reason.
CREATE TRIGGER tb_observer_deleted_disabled AFTER DELETE ON tb_observer
WHEN NOT OLD.enabled BEGIN
    UPDATE observer_deliveries SET paused = 0 WHERE observer = OLD.name AND paused <> 0;
END;

CREATE TRIGGER tb_observer_renamed AFTER UPDATE OF name ON tb_observer
WHEN OLD.name IS NOT NEW.name BEGIN
    UPDATE observer_deliveries SET paused = 0 WHERE observer = OLD.name AND paused <> 0;
    UPDATE observer_deliveries SET paused = 1 WHERE observer = NEW.name AND paused = 0 AND NOT NEW.enabled;
END;

-- Of the live deliveries with one ordering_key exactly one is not blocked. It has the turn: it is the one that runs
-- or, while none runs, the first in order of (event_seq, position, id). The last can change when one comes that is
-- earlier than the others (a replay), when the one that has the turn ends, and when it stops running without an end.

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
      AND (event_seq, position, id) > (NEW.event_seq, NEW.position, NEW.id);
END;

CREATE TRIGGER observer_deliveries_ended AFTER DELETE ON observer_deliveries
WHEN OLD.ordering_key IS NOT NULL AND OLD.blocked = 0 BEGIN
    UPDATE observer_deliveries SET blocked = 0
    WHERE id = (SELECT first.id FROM observer_deliveries AS first
                WHERE first.ordering_key = OLD.ordering_key
                ORDER BY first.event_seq, first.position, first.id LIMIT 1);
END;

CREATE TRIGGER observer_deliveries_stopped AFTER UPDATE OF state ON observer_deliveries
WHEN NEW.ordering_key IS NOT NULL AND OLD.state = 'running' AND NEW.state <> 'running' BEGIN
    UPDATE observer_deliveries SET blocked = 1 WHERE id = NEW.id;
    UPDATE observer_deliveries SET blocked = 0
    WHERE id = (SELECT first.id FROM observer_deliveries AS first
                WHERE first.ordering_key = NEW.ordering_key
                ORDER BY first.event_seq, first.position, first.id LIMIT 1);
END;
