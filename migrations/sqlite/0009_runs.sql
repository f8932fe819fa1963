-- A host claims with the first delivery of an ordering key those that follow it, and runs them one after the other
-- (docs/design/runs.md). All of them are `running` and its own; the first has the turn, and the others stay `blocked` until those
-- before them have ended.

-- Of the live deliveries with one ordering_key exactly one is not blocked. It has the turn: it is the first of those that
-- run or, while none runs, the first of all in order of (event_seq, position, id). One that comes earlier (a replay) waits for all that run.
CREATE INDEX observer_deliveries_runs ON observer_deliveries (ordering_key, event_seq, position, id)
    WHERE state = 'running' AND ordering_key IS NOT NULL;

DROP TRIGGER observer_deliveries_ended;
CREATE TRIGGER observer_deliveries_ended AFTER DELETE ON observer_deliveries
WHEN OLD.ordering_key IS NOT NULL AND OLD.blocked = 0 BEGIN
    UPDATE observer_deliveries SET blocked = 0
    WHERE id = coalesce(
        (SELECT runs.id FROM observer_deliveries AS runs
         WHERE runs.ordering_key = OLD.ordering_key AND runs.state = 'running'
         ORDER BY runs.event_seq, runs.position, runs.id LIMIT 1),
        (SELECT first.id FROM observer_deliveries AS first
         WHERE first.ordering_key = OLD.ordering_key
         ORDER BY first.event_seq, first.position, first.id LIMIT 1));
END;

-- One that had not the turn stops without a consequence for the others.
DROP TRIGGER observer_deliveries_stopped;
CREATE TRIGGER observer_deliveries_stopped AFTER UPDATE OF state ON observer_deliveries
WHEN NEW.ordering_key IS NOT NULL AND OLD.blocked = 0 AND OLD.state = 'running' AND NEW.state <> 'running' BEGIN
    UPDATE observer_deliveries SET blocked = 1 WHERE id = NEW.id;
    UPDATE observer_deliveries SET blocked = 0
    WHERE id = coalesce(
        (SELECT runs.id FROM observer_deliveries AS runs
         WHERE runs.ordering_key = NEW.ordering_key AND runs.state = 'running'
         ORDER BY runs.event_seq, runs.position, runs.id LIMIT 1),
        (SELECT first.id FROM observer_deliveries AS first
         WHERE first.ordering_key = NEW.ordering_key
         ORDER BY first.event_seq, first.position, first.id LIMIT 1));
END;
