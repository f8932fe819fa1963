-- aftercommit, schema version 5: what hosts wait for is locked by rows and tables that nobody else can lock, and a commit
-- rings only while a host sleeps.

-- A running host may hold what is changed here; the application must not wait for long behind this.
SET LOCAL lock_timeout = '5s';

-- ---------------------------------------------------------------------------------------------------------------------
-- Locks
--
-- Every role that can connect can take an advisory lock, and keep it. These are locks of tables and rows on which only the
-- owner has rights. Nothing is written to them, so they do not grow; a lock of a row leaves no dead one. Each is freed when its
-- transaction ends. Whoever takes several takes them in this order:
--     observer_migrations     EXCLUSIVE: migrates, or makes partitions.
--     observer_lock_replays   ROW SHARE: makes dead letters live again. EXCLUSIVE: drops old events.
--     observer_lock_takes     EXCLUSIVE: takes from the inbox.
--     observer_lock_makes     ROW SHARE: makes deliveries. EXCLUSIVE: marks those of an observer as paused or not.
--     observer_lock_keys      FOR NO KEY UPDATE of a row: decides about the keys with this hash: what is first of an ordering key, or
--                             whether an event's id is there. Of a bounded number; in ascending order.
--     observer_lock_bell      EXCLUSIVE: says whether a host sleeps.

CREATE TABLE observer_lock_replays (id integer NOT NULL PRIMARY KEY);
CREATE TABLE observer_lock_takes (id integer NOT NULL PRIMARY KEY);
CREATE TABLE observer_lock_makes (id integer NOT NULL PRIMARY KEY);
CREATE TABLE observer_lock_keys (hash integer NOT NULL PRIMARY KEY);
INSERT INTO observer_lock_keys SELECT generate_series(0, 255);

-- Of another name and kind than the earlier ones: a host of an earlier version, which would lock something else, fails.
DROP FUNCTION observer_lock_keys(text[]);
DROP FUNCTION observer_key_bucket(text);

CREATE FUNCTION observer_key_hash(key text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.hashtext(key) OPERATOR(pg_catalog.&) 255
$$;

CREATE FUNCTION observer_hold_keys(keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM @schema@.observer_lock_keys
    WHERE hash = ANY (ARRAY(SELECT @schema@.observer_key_hash(k) FROM unnest(keys) AS k WHERE k IS NOT NULL))
    ORDER BY hash FOR NO KEY UPDATE;
END $$;

-- Who is disabled stays as it is while deliveries with these keys are made.
CREATE FUNCTION observer_hold_makes(keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE @schema@.observer_lock_makes IN ROW SHARE MODE;
    IF cardinality(keys) > 0 THEN
        PERFORM @schema@.observer_hold_keys(keys);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION observer_pause() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    toggled text;
    pause   boolean;
BEGIN
    LOCK TABLE @schema@.observer_lock_makes IN EXCLUSIVE MODE;
    FOREACH toggled IN ARRAY CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.name]
        WHEN 'DELETE' THEN ARRAY[OLD.name]
        ELSE ARRAY[OLD.name, NEW.name] END
    LOOP
        pause := EXISTS (SELECT 1 FROM @schema@.tb_observer WHERE name = toggled AND NOT enabled);
        UPDATE @schema@.observer_deliveries SET paused = pause WHERE observer = toggled AND paused <> pause;
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION observer_deliveries_came() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM @schema@.observer_hold_keys(ARRAY[NEW.ordering_key]);
    -- First those behind it, which waits for whoever is claiming one of them: if that one then runs, it is seen below.
    UPDATE @schema@.observer_deliveries SET blocked = true
    WHERE ordering_key = NEW.ordering_key AND NOT blocked AND id <> NEW.id AND state <> 'running'
      AND (event_seq, position, id) > (NEW.event_seq, NEW.position, NEW.id);
    UPDATE @schema@.observer_deliveries SET blocked = true
    WHERE id = NEW.id AND NOT blocked
      AND EXISTS (SELECT 1 FROM @schema@.observer_deliveries AS turn
                  WHERE turn.ordering_key = NEW.ordering_key AND NOT turn.blocked AND turn.id <> NEW.id
                    AND (turn.state = 'running'
                         OR (turn.event_seq, turn.position, turn.id) < (NEW.event_seq, NEW.position, NEW.id)));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION observer_deliveries_next() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM @schema@.observer_hold_keys(ARRAY[OLD.ordering_key]);
    IF TG_OP = 'UPDATE' THEN
        UPDATE @schema@.observer_deliveries SET blocked = true WHERE id = OLD.id;
    END IF;
    UPDATE @schema@.observer_deliveries SET blocked = false
    WHERE id = (SELECT first.id FROM @schema@.observer_deliveries AS first
                WHERE first.ordering_key = OLD.ordering_key
                ORDER BY first.event_seq, first.position, first.id LIMIT 1);
    RETURN NULL;
END $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- The doorbell
--
-- NOTIFY takes a lock of the whole server at the end of each commit: commits follow each other, and no longer share the syncs of their
-- log. So a host that has work looks into the inbox by itself, and only one that sleeps has to be rung.

-- Until when commits have to ring, in seconds since 1970 by the server's clock: as long as any host sleeps. A trigger reads it without
-- waiting for anybody. It ends by itself, so a host that dies in its sleep is rung for half a minute and no longer; a host that
-- dies awake leaves nothing behind. 0: nobody sleeps.
CREATE SEQUENCE observer_bell MINVALUE 0 NO CYCLE;
SELECT setval('observer_bell', 0);

ALTER TABLE observer_hosts ADD COLUMN rung_until timestamptz; -- it sleeps until then, or until it is rung; null: it looks by itself

-- One host at a time says whether it sleeps: each sets the latest time of all.
CREATE TABLE observer_lock_bell (id integer NOT NULL PRIMARY KEY);

-- Has commits ring for a host for so many seconds from now; 0: not for this one.
CREATE FUNCTION observer_ring(host uuid, seconds integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now     CONSTANT timestamptz := clock_timestamp();
    own     CONSTANT timestamptz := CASE WHEN seconds > 0 THEN now + make_interval(secs => seconds) END;
    others  timestamptz;
BEGIN
    LOCK TABLE @schema@.observer_lock_bell IN EXCLUSIVE MODE;
    UPDATE @schema@.observer_hosts SET rung_until = own WHERE id = host;
    SELECT max(rung_until) INTO others FROM @schema@.observer_hosts WHERE rung_until > now;
    PERFORM setval($schema$@schema@.observer_bell$schema$::regclass, coalesce(ceil(extract(epoch FROM greatest(own, others)))::bigint, 0));
END $$;
REVOKE EXECUTE ON FUNCTION observer_ring(uuid, integer) FROM PUBLIC;

-- Default privileges may have given others rights on what was just made.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass AS relation,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid IN ('observer_lock_replays'::regclass, 'observer_lock_takes'::regclass, 'observer_lock_makes'::regclass,
                        'observer_lock_keys'::regclass, 'observer_lock_bell'::regclass, 'observer_bell'::regclass)
          AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', given.kind, given.relation, given.role);
    END LOOP;
END $$;

-- Triggers read it with the rights of the role that captured a table. To read is not to set.
GRANT SELECT ON SEQUENCE observer_bell TO PUBLIC;

-- ---------------------------------------------------------------------------------------------------------------------
-- Captures

-- Of triggers that no version makes any more.
ALTER TABLE observer_captures DROP COLUMN triggers;
