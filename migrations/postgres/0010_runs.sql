-- A host claims with the first delivery of an ordering key those that follow it, and runs them one after the other
-- (docs/design/runs.md). All of them are `running` and its own; the first has the turn, and the others stay `blocked` until those
-- before them have ended.

SET LOCAL lock_timeout = '5s';

-- Of the live deliveries with one ordering_key exactly one is not blocked. It has the turn: it is the first of those that
-- run or, while none runs, the first of all in order of (event_seq, position, id). One that comes earlier (a replay) waits for all that run.
CREATE INDEX observer_deliveries_runs ON observer_deliveries (ordering_key, event_seq, position, id)
    WHERE state = 'running' AND ordering_key IS NOT NULL;

CREATE OR REPLACE FUNCTION observer_deliveries_next() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM @schema@.observer_hold_keys(ARRAY[OLD.ordering_key]);
    IF TG_OP = 'UPDATE' THEN
        UPDATE @schema@.observer_deliveries SET blocked = true WHERE id = OLD.id;
    END IF;
    UPDATE @schema@.observer_deliveries SET blocked = false
    WHERE id = coalesce(
        (SELECT runs.id FROM @schema@.observer_deliveries AS runs
         WHERE runs.ordering_key = OLD.ordering_key AND runs.state = 'running'
         ORDER BY runs.event_seq, runs.position, runs.id LIMIT 1),
        (SELECT first.id FROM @schema@.observer_deliveries AS first
         WHERE first.ordering_key = OLD.ordering_key
         ORDER BY first.event_seq, first.position, first.id LIMIT 1));
    RETURN NULL;
END $$;

-- One that had not the turn stops without a consequence for the others.
DROP TRIGGER observer_deliveries_stopped ON observer_deliveries;
CREATE TRIGGER observer_deliveries_stopped AFTER UPDATE OF state ON observer_deliveries
    FOR EACH ROW WHEN (NEW.ordering_key IS NOT NULL AND NOT OLD.blocked AND OLD.state = 'running' AND NEW.state <> 'running')
    EXECUTE FUNCTION observer_deliveries_next();
