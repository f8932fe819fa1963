-- aftercommit, schema version 2: what the tables keep right by themselves, whoever writes to them; and the functions
-- behind the triggers of captured tables and change logs.
--
-- Functions that write to the host's tables run with the rights of who owns them, and find names by the search_path of
-- this migration only: a role that writes to `tb_observer` or to a captured table needs no rights on anything else.
--
-- Advisory locks of transactions, all with the class 1634104419:
--     0            shared: makes deliveries. Alone: marks those of an observer as paused or not.
--     1            shared: makes dead letters live again. Alone: drops old events.
--     2            migrates.
--     3            takes from the inbox, where some deliveries have an ordering key.
--     256 .. 511   what is first of the ordering keys with this hash. Of a bounded number, because locks are; taken in
--                  ascending order by whoever takes several.

-- The revision of the observers. Running hosts hear of it.
CREATE FUNCTION observer_revise() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE observer_revision SET revision = revision + 1;
    PERFORM pg_notify('observer_revision', '');
    RETURN NULL;
END $$;

CREATE TRIGGER tb_observer_revised AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tb_observer
    FOR EACH STATEMENT EXECUTE FUNCTION observer_revise();

-- What is held back, and how many hosts share the rates: running hosts look at once.
CREATE FUNCTION observer_destinations_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('observer_destinations', '');
    RETURN NULL;
END $$;

CREATE TRIGGER observer_destinations_changed AFTER INSERT OR UPDATE OR DELETE ON observer_destinations
    FOR EACH STATEMENT EXECUTE FUNCTION observer_destinations_changed();
CREATE TRIGGER observer_hosts_changed AFTER INSERT OR DELETE ON observer_hosts
    FOR EACH STATEMENT EXECUTE FUNCTION observer_destinations_changed();

-- A change by plain SQL is dated too.
CREATE FUNCTION observer_date() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = clock_timestamp();
    RETURN NEW;
END $$;

CREATE TRIGGER tb_observer_dated BEFORE UPDATE ON tb_observer
    FOR EACH ROW WHEN (OLD.updated_at = NEW.updated_at) EXECUTE FUNCTION observer_date();

-- Deliveries of a disabled observer leave the indexes that claims read: a great many of them cost nothing. Those of an
-- observer that is gone do not wait for ever: a host claims them and ends them for that reason.
--
-- Deferred to the commit, because it keeps intake waiting: a transaction left open after an UPDATE of tb_observer must
-- not. Intake holds the lock from before it reads who is disabled until its deliveries are visible.
CREATE FUNCTION observer_pause() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    toggled text;
    pause   boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(1634104419, 0);
    FOREACH toggled IN ARRAY CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.name]
        WHEN 'DELETE' THEN ARRAY[OLD.name]
        ELSE ARRAY[OLD.name, NEW.name] END
    LOOP
        pause := EXISTS (SELECT 1 FROM tb_observer WHERE name = toggled AND NOT enabled);
        UPDATE observer_deliveries SET paused = pause WHERE observer = toggled AND paused <> pause;
    END LOOP;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER tb_observer_toggled AFTER UPDATE ON tb_observer DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.enabled <> NEW.enabled OR OLD.name <> NEW.name) EXECUTE FUNCTION observer_pause();
CREATE CONSTRAINT TRIGGER tb_observer_inserted_disabled AFTER INSERT ON tb_observer DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NOT NEW.enabled) EXECUTE FUNCTION observer_pause();
CREATE CONSTRAINT TRIGGER tb_observer_deleted_disabled AFTER DELETE ON tb_observer DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NOT OLD.enabled) EXECUTE FUNCTION observer_pause();

-- Of the live deliveries with one ordering_key exactly one is not blocked. It has the turn: it is the one that runs
-- or, while none runs, the first in order of (event_seq, position, id). The last can change when one comes that is
-- earlier than the others (a replay), when the one that has the turn ends, and when it stops running without an end.
-- These triggers cost a delivery without a key one comparison.
--
-- Two transactions never decide about one key at the same time: each takes the key's lock first and looks afterwards,
-- with a statement that sees what the one before it committed.
CREATE FUNCTION observer_key_bucket(ordering_key text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 256 + (hashtext(ordering_key) & 255) $$;

CREATE FUNCTION observer_lock_keys(ordering_keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    bucket integer;
BEGIN
    FOR bucket IN
        SELECT DISTINCT observer_key_bucket(k) FROM unnest(ordering_keys) AS k WHERE k IS NOT NULL ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(1634104419, bucket);
    END LOOP;
END $$;

CREATE FUNCTION observer_deliveries_came() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1634104419, observer_key_bucket(NEW.ordering_key));
    -- First those behind it, which waits for whoever is claiming one of them: if that one then runs, it is seen below.
    UPDATE observer_deliveries SET blocked = true
    WHERE ordering_key = NEW.ordering_key AND NOT blocked AND id <> NEW.id AND state <> 'running'
      AND (event_seq, position, id) > (NEW.event_seq, NEW.position, NEW.id);
    UPDATE observer_deliveries SET blocked = true
    WHERE id = NEW.id AND NOT blocked
      AND EXISTS (SELECT 1 FROM observer_deliveries AS turn
                  WHERE turn.ordering_key = NEW.ordering_key AND NOT turn.blocked AND turn.id <> NEW.id
                    AND (turn.state = 'running'
                         OR (turn.event_seq, turn.position, turn.id) < (NEW.event_seq, NEW.position, NEW.id)));
    RETURN NULL;
END $$;

CREATE TRIGGER observer_deliveries_came AFTER INSERT ON observer_deliveries
    FOR EACH ROW WHEN (NEW.ordering_key IS NOT NULL) EXECUTE FUNCTION observer_deliveries_came();

CREATE FUNCTION observer_deliveries_next() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1634104419, observer_key_bucket(OLD.ordering_key));
    IF TG_OP = 'UPDATE' THEN
        UPDATE observer_deliveries SET blocked = true WHERE id = OLD.id;
    END IF;
    UPDATE observer_deliveries SET blocked = false
    WHERE id = (SELECT first.id FROM observer_deliveries AS first
                WHERE first.ordering_key = OLD.ordering_key
                ORDER BY first.event_seq, first.position, first.id LIMIT 1);
    RETURN NULL;
END $$;

CREATE TRIGGER observer_deliveries_ended AFTER DELETE ON observer_deliveries
    FOR EACH ROW WHEN (OLD.ordering_key IS NOT NULL AND NOT OLD.blocked)
    EXECUTE FUNCTION observer_deliveries_next();

CREATE TRIGGER observer_deliveries_stopped AFTER UPDATE OF state ON observer_deliveries
    FOR EACH ROW WHEN (NEW.ordering_key IS NOT NULL AND OLD.state = 'running' AND NEW.state <> 'running')
    EXECUTE FUNCTION observer_deliveries_next();

-- A seq that a person put into the inbox gets the time of its event, which names the partition.
CREATE FUNCTION observer_inbox_date() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.occurred_at = (SELECT occurred_at FROM observer_events WHERE seq = NEW.seq LIMIT 1);
    RETURN NEW;
END $$;

CREATE TRIGGER observer_inbox_dated BEFORE INSERT ON observer_inbox
    FOR EACH ROW WHEN (NEW.occurred_at IS NULL) EXECUTE FUNCTION observer_inbox_date();

-- The partitions of one day each, by UTC, from today on. A day of which the default partition has rows already stays
-- there: they are not moved. To make one needs a moment without readers of the default partition, and does not insist
-- on it: the next call tries again, and there are days ahead.
CREATE FUNCTION observer_make_partitions(parent text, days integer) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    today CONSTANT date := current_date;
    by_time text;
    day   date;
    part  text;
    taken boolean;
    made  integer := 0;
BEGIN
    by_time := CASE parent WHEN 'observer_events' THEN 'occurred_at' ELSE 'started_at' END;
    FOR day IN SELECT today + n FROM generate_series(0, days - 1) AS n LOOP
        part := parent || '_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(quote_ident(part)) IS NOT NULL;
        BEGIN
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE %I >= %L AND %I < %L)',
                           parent || '_default', by_time, day::timestamptz, by_time, (day + 1)::timestamptz)
                INTO taken;
            CONTINUE WHEN taken;
            -- Made beside the parent and then attached, so that the parent stays open for reading and writing.
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           parent, part, day::timestamptz, (day + 1)::timestamptz);
            made := made + 1;
        EXCEPTION WHEN lock_not_available OR duplicate_table OR check_violation THEN
            EXIT;
        END;
    END LOOP;
    RETURN made;
END $$;

-- Drops the partitions of days that had ended by `before`, and says how many rows they had, by the last count of
-- autovacuum. A day stays as a whole while an event of it waits in the inbox or has a live delivery. To drop one needs
-- a moment without writers, and does not insist on it either.
CREATE FUNCTION observer_drop_partitions(parent text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    part    record;
    from_at timestamptz;
    to_at   timestamptz;
    dropped bigint := 0;
BEGIN
    FOR part IN
        SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS row_count
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(quote_ident(parent)) AND c.relname ~ '_[0-9]{8}$'
        ORDER BY c.relname
    LOOP
        from_at := to_date(right(part.name, 8), 'YYYYMMDD')::timestamptz;
        to_at := from_at + interval '1 day';
        EXIT WHEN to_at > before;
        BEGIN
            -- Locked first: what is live is looked at when nothing more can become so.
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent);
            CONTINUE WHEN parent = 'observer_events' AND (
                EXISTS (SELECT 1 FROM observer_inbox AS i WHERE i.occurred_at >= from_at AND i.occurred_at < to_at)
                OR EXISTS (SELECT 1 FROM observer_deliveries AS d WHERE d.event_at >= from_at AND d.event_at < to_at));
            EXECUTE format('DROP TABLE %I', part.name);
            dropped := dropped + part.row_count;
        EXCEPTION WHEN lock_not_available THEN
            EXIT;
        END;
    END LOOP;
    RETURN dropped;
END $$;

-- The same image in a form of which every value can be read. A json column can hold escapes that can not be read as
-- text, such as \u0000 and half a surrogate pair, and looking up one column reads all. A key has none of them: of its
-- characters, only control characters are written as escapes.
CREATE FUNCTION observer_readable(image json) RETURNS json
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN strpos(image::text, '\u') = 0 THEN image
                ELSE regexp_replace(image::text, '\\u(?!00[0-7][0-9a-fA-F])[0-9a-fA-F]{4}|\\u0000', '\\u003f', 'g')::json END
$$;

-- The parts of a key as text, joined by ':'; null when a part of it is null, or is no column any more.
CREATE FUNCTION observer_key(image json, key text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    readable CONSTANT json := observer_readable(image);
    name   text;
    joined text;
BEGIN
    FOREACH name IN ARRAY key LOOP
        joined := CASE WHEN joined IS NULL THEN readable ->> name ELSE joined || ':' || (readable ->> name) END;
        IF joined IS NULL THEN
            RETURN NULL;
        END IF;
    END LOOP;
    RETURN joined;
END $$;

-- The id of an event: a UUID of version 7 (RFC 9562, section 5.7). Before the version are the milliseconds, behind it the
-- digits of a random UUID, which has the variant in the same place.
CREATE FUNCTION observer_event_id(at timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(date_part('epoch', at) * 1000)::bigint), 12, '0')
            || '7' || substr(gen_random_uuid()::text, 16))::uuid
$$;

-- The triggers of captured tables, with the arguments: entity type; whether to notify; whether to compare values that
-- differ in their bytes once more as numbers; the columns of the key.
--
-- The application's statement must never fail because of them. So no column is named (`t` could be one, `t.*` is the
-- row): the key is looked up in the image, where a column that was renamed is missing, and then the event is put aside
-- by intake. What could make an image depend on the session that writes is set: the time zone and the forms of floats,
-- bytea and intervals. A plan is compiled for no statement: that took a third of a second. A row of 64 MiB or more has
-- no image, since its text might be longer than PostgreSQL allows.

-- Rows that came or went, `rows`: the trigger's one transition table.
CREATE FUNCTION observer_capture_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET timezone = 'UTC' SET extra_float_digits = 1 SET bytea_output = 'hex' SET intervalstyle = 'postgres'
SET jit = off AS $$
DECLARE
    at   CONSTANT timestamptz := clock_timestamp();
    kind CONSTANT text := CASE TG_OP WHEN 'INSERT' THEN 'created' ELSE 'deleted' END;
    key  CONSTANT text[] := TG_ARGV[3:];
BEGIN
    WITH captured AS (
        INSERT INTO observer_events (id, entity_type, entity_id, event_kind, occurred_at, data)
        SELECT observer_event_id(at), TG_ARGV[0],
               CASE cardinality(key) WHEN 1 THEN observer_readable(r.image) ->> TG_ARGV[3]
                                     ELSE observer_key(r.image, key) END,
               kind, at, r.image
        FROM (SELECT CASE WHEN pg_column_size(t.*) < 67108864 THEN row_to_json(t.*) END AS image
              FROM rows AS t OFFSET 0) AS r
        RETURNING seq, occurred_at
    )
    INSERT INTO observer_inbox (seq, occurred_at) SELECT seq, occurred_at FROM captured;
    IF FOUND AND TG_ARGV[1]::boolean THEN
        PERFORM pg_notify('observer_inbox', '');
    END IF;
    RETURN NULL;
END $$;

-- The two transition tables have the same rows in the same order, so a row is paired with what became of it by its
-- place: its key may have changed, and need not be unique. An update that changes nothing is no event; one that
-- changes the key is two. A key that one row gave up another may have taken (`SET id = id + 1`): so what keys lost
-- comes before what they got, and is older.
CREATE FUNCTION observer_capture_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET timezone = 'UTC' SET extra_float_digits = 1 SET bytea_output = 'hex' SET intervalstyle = 'postgres'
SET jit = off AS $$
DECLARE
    at      CONSTANT timestamptz := clock_timestamp();
    numbers CONSTANT boolean := TG_ARGV[2];
    key     CONSTANT text[] := TG_ARGV[3:];
BEGIN
    WITH changed AS MATERIALIZED (
        SELECT place,
               CASE WHEN pg_column_size(o.image) < 67108864 THEN row_to_json(o.image) END AS before,
               CASE WHEN pg_column_size(n.image) < 67108864 THEN row_to_json(n.image) END AS after
        FROM (SELECT row_number() OVER () AS place, coalesce(t.*) AS image FROM old_rows AS t) AS o
             JOIN (SELECT row_number() OVER () AS place, coalesce(t.*) AS image FROM new_rows AS t) AS n USING (place)
        WHERE CASE WHEN o.image *= n.image THEN false
                   WHEN numbers THEN to_jsonb(o.image) <> to_jsonb(n.image)
                   ELSE true END
    ), keyed AS MATERIALIZED (
        SELECT place, before, after,
               CASE cardinality(key) WHEN 1 THEN observer_readable(before) ->> TG_ARGV[3]
                                     ELSE observer_key(before, key) END AS old_key,
               CASE cardinality(key) WHEN 1 THEN observer_readable(after) ->> TG_ARGV[3]
                                     ELSE observer_key(after, key) END AS new_key
        FROM changed
    ), captured AS (
        INSERT INTO observer_events (id, entity_type, entity_id, event_kind, occurred_at, data, old)
        SELECT observer_event_id(at), TG_ARGV[0], e.id, e.kind, at + (e.part - 1) * interval '1 microsecond',
               e.data, e.old
        FROM keyed AS k CROSS JOIN LATERAL (
            SELECT 1 AS part, 'updated' AS kind, k.new_key AS id, k.after AS data, k.before AS old
            WHERE k.old_key IS NOT DISTINCT FROM k.new_key
            UNION ALL SELECT 1, 'deleted', k.old_key, k.before, NULL WHERE k.old_key IS DISTINCT FROM k.new_key
            UNION ALL SELECT 2, 'created', k.new_key, k.after, NULL WHERE k.old_key IS DISTINCT FROM k.new_key
        ) AS e
        ORDER BY e.part, k.place
        RETURNING seq, occurred_at
    )
    INSERT INTO observer_inbox (seq, occurred_at) SELECT seq, occurred_at FROM captured;
    IF FOUND AND TG_ARGV[1]::boolean THEN
        PERFORM pg_notify('observer_inbox', '');
    END IF;
    RETURN NULL;
END $$;

-- Whether all escapes in an image can be read as text: not \u0000 and half a surrogate pair, and in a database that is
-- not in UTF-8 none but those of ASCII. What is passed over first is any other escape, an escaped backslash among them.
CREATE FUNCTION observer_is_readable(image json) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT strpos(image::text, '\u') = 0
        OR CASE getdatabaseencoding()
               WHEN 'UTF8' THEN regexp_replace(image::text, '\\[^u]|\\u[dD][89abAB]..\\u[dD][c-fC-F]..', '-', 'g')
                                !~ '\\u(0000|[dD][89a-fA-F])'
               ELSE regexp_replace(image::text, '\\[^u]', '-', 'g') !~ '\\u(0000|(?!00[0-7]))'
           END
$$;

CREATE FUNCTION observer_unless_null(value json) RETURNS json
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE json_typeof(value) WHEN 'null' THEN NULL ELSE value END $$;

-- A text as a time; null when it is none, and when it is of no year from 1 to 9999.
CREATE FUNCTION observer_time(value text) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    read timestamptz;
BEGIN
    read := value;
    RETURN CASE WHEN read >= '0001-01-01' AND read < '10000-01-01' THEN read END;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- The trigger of a change log, with the arguments: the capture's name; whether to notify; the columns that are its
-- object_type, object_id, modification_type, object_data, before image, tenant, actor and created_at, or '' for none.
--
-- The same holds as for captured tables: columns are looked up in the row's JSON, and what is no event is found by
-- intake. A row with escapes that can not be read keeps what names it and loses its images, so that it is put aside.
-- Nobody did anything in the future: a time ahead would stand in the way of that day's partition.
CREATE FUNCTION observer_capture_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET timezone = 'UTC' SET extra_float_digits = 1 SET bytea_output = 'hex' SET intervalstyle = 'postgres'
SET jit = off AS $$
DECLARE
    at    CONSTANT timestamptz := clock_timestamp();
    names CONSTANT text[] := TG_ARGV[2:];
BEGIN
    WITH logged AS MATERIALIZED (
        SELECT row_number() OVER () AS place,
               CASE WHEN pg_column_size(t.*) < 67108864 THEN row_to_json(t.*) END AS image
        FROM rows AS t
    ), looked_up AS MATERIALIZED (
        -- One look at the row's JSON for all columns.
        SELECT l.place, r.readable, v.field
        FROM logged AS l
             CROSS JOIN LATERAL (SELECT observer_is_readable(l.image) AS readable OFFSET 0) AS r
             CROSS JOIN LATERAL (
                 SELECT array_agg(observer_unless_null(e.value) ORDER BY n.place) AS field
                 FROM unnest(names) WITH ORDINALITY AS n (name, place)
                      LEFT JOIN json_each(CASE WHEN r.readable THEN l.image ELSE observer_readable(l.image) END) AS e
                      ON e.key = n.name
             ) AS v
    ), named AS MATERIALIZED (
        SELECT place, readable, field[4] AS object_data, field[5] AS before_image,
               field[1] #>> '{}' AS entity_type, field[2] #>> '{}' AS entity_id,
               CASE lower(field[3] #>> '{}')
                   WHEN 'insert' THEN 'created' WHEN 'created' THEN 'created'
                   WHEN 'update' THEN 'updated' WHEN 'updated' THEN 'updated'
                   WHEN 'delete' THEN 'deleted' WHEN 'deleted' THEN 'deleted'
                   WHEN 'custom' THEN 'custom'
                   ELSE field[3] #>> '{}'
               END AS kind,
               field[6] #>> '{}' AS tenant_id, field[7] #>> '{}' AS actor,
               least(at, observer_time(field[8] #>> '{}')) AS occurred_at,
               -- As Debezium writes it. A before image of its own column says that this is none.
               names[5] = '' AND field[4] ->> 'op' IN ('c', 'u', 'd', 'r')
                   AND json_typeof(field[4] -> 'before') IN ('object', 'null')
                   AND json_typeof(field[4] -> 'after') IN ('object', 'null') AS is_envelope
        FROM looked_up
    ), captured AS (
        INSERT INTO observer_events (id, entity_type, entity_id, event_kind, occurred_at, data, old, tenant_id, actor)
        SELECT observer_event_id(at), n.entity_type, n.entity_id, n.kind, n.occurred_at,
               -- A delete without an image is one all the same: it says of what.
               CASE WHEN n.readable THEN
                   CASE n.kind WHEN 'deleted' THEN coalesce(i.before, i.after, '{}') ELSE i.after END
               END,
               CASE WHEN n.readable AND n.kind = 'updated' THEN i.before END,
               n.tenant_id, n.actor
        FROM named AS n CROSS JOIN LATERAL (
            SELECT CASE WHEN n.is_envelope THEN observer_unless_null(n.object_data -> 'before') ELSE n.before_image END
                       AS before,
                   CASE WHEN n.is_envelope THEN observer_unless_null(n.object_data -> 'after') ELSE n.object_data END
                       AS after
        ) AS i
        ORDER BY n.place
        RETURNING seq, occurred_at
    )
    INSERT INTO observer_inbox (seq, occurred_at) SELECT seq, occurred_at FROM captured;
    IF FOUND AND TG_ARGV[1]::boolean THEN
        PERFORM pg_notify('observer_inbox', '');
    END IF;
    RETURN NULL;
END $$;

-- Whoever may make triggers with these functions can make events.
REVOKE EXECUTE ON FUNCTION observer_capture_rows(), observer_capture_update(), observer_capture_log(),
    observer_revise(), observer_pause() FROM PUBLIC;
