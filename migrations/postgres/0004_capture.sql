-- aftercommit, schema version 4: a captured change is one row of the inbox, with its image; what a trigger runs inside the
-- application's transaction is generated for each table; and nobody's code runs with the rights of our functions.
--
-- Every function here finds names in pg_catalog only, and our own by the name of their schema: @schema@ stands for it. A
-- function that a trigger runs for each row sets nothing, since that would cost more than the rest of it: all names in
-- it are qualified instead, operators too. It asks each value for its type before it reads it, and then calls functions of
-- that type: a cast or an operator that a role has made since then is never called.

-- ---------------------------------------------------------------------------------------------------------------------
-- The inbox

-- A running host waits for a moment without writers of the inbox; the application must not wait for long with it.
SET LOCAL lock_timeout = '5s';

-- A row with a kind is a change: its image, or the problem that kept the trigger from making one. Another points at an event of
-- observer_events, to have it matched again: by event_seq, or by seq alone, as the triggers of earlier versions wrote it.
--
-- Rows are taken in the order of (place, seq). Of most rows the place is their number and the seq is 0; of a statement whose rows
-- can change each other by triggers, all have the place of the first, and a number of their own in seq.
ALTER TABLE observer_inbox
    ADD COLUMN place       bigint NOT NULL DEFAULT 0,
    ADD COLUMN event_seq   bigint,                 -- observer_events.seq
    ADD COLUMN id          uuid,                   -- of an emitted event; null: made of occurred_at and seq
    ADD COLUMN entity_type text,
    ADD COLUMN entity_id   text,
    ADD COLUMN event_kind  text,
    ADD COLUMN data        text,                   -- JSON, as in observer_events
    ADD COLUMN old         text,
    ADD COLUMN changed     text,
    ADD COLUMN tenant_id   text,
    ADD COLUMN actor       text,
    ADD COLUMN traceparent text,
    ADD COLUMN problem     text,                   -- why there is no image
    ALTER COLUMN seq SET DEFAULT nextval('observer_events_seq'),
    DROP CONSTRAINT observer_inbox_pkey,
    ADD CONSTRAINT observer_inbox_pkey PRIMARY KEY (place, seq);

CREATE UNIQUE INDEX observer_inbox_by_id ON observer_inbox (id) WHERE id IS NOT NULL;

DROP TRIGGER observer_inbox_dated ON observer_inbox;
DROP FUNCTION observer_inbox_date();

-- What a delivery's event takes in memory, so that a host claims no more than it has room for.
ALTER TABLE observer_deliveries ADD COLUMN event_bytes integer NOT NULL DEFAULT 0;

-- ---------------------------------------------------------------------------------------------------------------------
-- Rows that could not become events: kept as they were captured, until a person has them tried again or discards them

ALTER TABLE observer_quarantine
    ADD COLUMN event_kind  text,
    ADD COLUMN occurred_at timestamptz,
    ADD COLUMN data        text,
    ADD COLUMN old         text,
    ADD COLUMN changed     text,
    ADD COLUMN tenant_id   text,
    ADD COLUMN actor       text,
    ADD COLUMN traceparent text;

UPDATE observer_quarantine AS q
SET event_kind = e.event_kind, occurred_at = e.occurred_at, data = e.data::text, old = e.old::text, changed = e.changed::text,
    tenant_id = e.tenant_id, actor = e.actor, traceparent = e.traceparent
FROM observer_events AS e
WHERE e.seq = q.event_seq;

DELETE FROM observer_events AS e USING observer_quarantine AS q
WHERE e.seq = q.event_seq AND NOT EXISTS (SELECT 1 FROM observer_deliveries AS d WHERE d.event_seq = e.seq);

-- A host of an earlier version would not find the images of new rows, and put them aside without: it fails instead.
ALTER TABLE observer_quarantine DROP COLUMN event_seq;

-- ---------------------------------------------------------------------------------------------------------------------
-- Captures

ALTER TABLE observer_captures
    ADD COLUMN selection json NOT NULL DEFAULT '"all"', -- {"only": [..]} or {"exclude": [..]}: columns
    ADD COLUMN condition text,                     -- only changes for which it is true become events
    ADD COLUMN function  text,                     -- the function behind its triggers; null: of an earlier version
    ADD COLUMN source    text,                     -- its text
    ADD COLUMN is_tenant boolean NOT NULL DEFAULT false, -- several schemas have this table: the schema is the tenant
    DROP CONSTRAINT observer_captures_entity_type_key;

-- Existing rows that become events, page by page.
CREATE TABLE observer_backfills (
    table_name  text NOT NULL PRIMARY KEY,         -- observer_captures.table_name
    condition   text,                              -- only rows for which it is true
    event_kind  text NOT NULL,
    last_key    text[],                            -- of the last row that was read, as texts of the key's types
    last        text,                              -- the same as an entity_id
    row_count   bigint NOT NULL DEFAULT 0,         -- that were read
    event_count bigint NOT NULL DEFAULT 0,         -- that were made of them
    started_at  timestamptz NOT NULL,
    finished_at timestamptz
);

-- An update of the one row of a table without a key fails under a publication FOR ALL TABLES.
ALTER TABLE observer_revision REPLICA IDENTITY FULL;

-- ---------------------------------------------------------------------------------------------------------------------
-- From a column's type to the expression that writes its value

-- The type behind domains.
CREATE FUNCTION observer_base_type(type oid) RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base  oid := type;
    below oid;
BEGIN
    LOOP
        SELECT t.typbasetype INTO below FROM pg_type AS t WHERE t.oid = base AND t.typtype = 'd';
        EXIT WHEN NOT FOUND;
        base := below;
    END LOOP;
    RETURN base;
END $$;

-- An SQL expression for the text of a JSON object, from the names of its fields and the expressions of their values. A function
-- takes a hundred arguments: a larger object is put together of several.
CREATE FUNCTION observer_object(names text[], "values" text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    several  CONSTANT integer := 50;
    fields   text;
    whole    text;
BEGIN
    FOR n IN 0 .. greatest(cardinality(names) - 1, 0) / several LOOP
        SELECT string_agg(format('%L, %s', name, value), ', ' ORDER BY place) INTO fields
        FROM unnest(names, "values") WITH ORDINALITY AS f (name, value, place)
        WHERE place > n * several AND place <= (n + 1) * several;
        whole := CASE WHEN n = 0 THEN format('pg_catalog.json_build_object(%s)', fields)
                      ELSE format('pg_catalog.concat(pg_catalog.left(%s::pg_catalog.text, -1), '', '', '
                                  'pg_catalog.substr(pg_catalog.json_build_object(%s)::pg_catalog.text, 2))', whole, fields) END;
    END LOOP;
    RETURN whole;
END $$;

-- An SQL expression for what of a value goes into JSON. Values of types that are not PostgreSQL's own are written by the output
-- function of their type, never by a cast, which any owner of a type can make.
CREATE FUNCTION observer_value(type oid, value text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base    CONSTANT oid := @schema@.observer_base_type(type);
    pg_own  CONSTANT oid := 16384;                 -- the first that is not
    t       pg_type;
    element oid;
    fields  text;
BEGIN
    SELECT * INTO t FROM pg_type WHERE oid = base;
    element := CASE WHEN t.typcategory = 'A' AND t.typlen = -1 THEN @schema@.observer_base_type(t.typelem) ELSE 0 END;
    IF base = 'bpchar'::regtype THEN
        -- Its trailing blanks mean nothing, and the cast to text leaves them out.
        RETURN format('%s::pg_catalog.text', value);
    ELSIF base = 'timestamptz'::regtype THEN
        -- In UTC whatever the session's time zone.
        RETURN replace($sql$CASE WHEN NOT pg_catalog.isfinite(VALUE) THEN pg_catalog.to_json(VALUE) OPERATOR(pg_catalog.#>>) '{}'::pg_catalog.text[]
            WHEN VALUE OPERATOR(pg_catalog.<) '0001-01-01 00:00:00+00'::pg_catalog.timestamptz
            THEN pg_catalog.replace(pg_catalog.btrim(pg_catalog.to_json(pg_catalog.timezone('00:00:00'::pg_catalog.interval, VALUE))::pg_catalog.text, '"'), ' BC', '+00:00 BC')
            WHEN VALUE IS NOT NULL
            THEN pg_catalog.concat(pg_catalog.btrim(pg_catalog.to_json(pg_catalog.timezone('00:00:00'::pg_catalog.interval, VALUE))::pg_catalog.text, '"'), '+00:00') END$sql$,
            'VALUE', value);
    ELSIF base = 'bytea'::regtype THEN
        RETURN format($sql$CASE WHEN %s IS NOT NULL THEN pg_catalog.concat(E'\\x', pg_catalog.encode(%s, 'hex')) END$sql$, value, value);
    ELSIF element = 'bpchar'::regtype THEN
        RETURN format('%s::pg_catalog.text[]', value);
    ELSIF base < pg_own OR element > 0 AND element < pg_own THEN
        RETURN value;
    ELSIF element > 0 AND (SELECT typdelim FROM pg_type WHERE oid = t.typelem) = ',' THEN
        RETURN format('CASE WHEN %s IS NOT NULL THEN pg_catalog.concat(%s)::pg_catalog.text[] END', value, value);
    ELSIF t.typtype = 'c' THEN
        SELECT @schema@.observer_object(array_agg(a.name::text ORDER BY a.place),
                   array_agg(@schema@.observer_value(a.type, @schema@.observer_part(a.type, format('(%s).%I', value, a.name)))
                             ORDER BY a.place))
            INTO fields FROM @schema@.observer_attributes(t.typrelid) AS a;
        RETURN format('CASE WHEN pg_catalog.num_nulls(%s) OPERATOR(pg_catalog.=) 0 THEN (%s)::pg_catalog.json END', value, fields);
    END IF;
    RETURN format('CASE WHEN pg_catalog.num_nulls(%s) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.concat(%s) END', value, value);
END $$;

-- An SQL expression for a field of a composite type, as a value of the same type of PostgreSQL's own. Nothing locks the composite:
-- its owner can give the field another type after the types were compared, and then a cast of that would be called here.
CREATE FUNCTION observer_part(type oid, part text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base    oid := @schema@.observer_base_type(type);
    element oid;
BEGIN
    IF base >= 16384 THEN
        -- An array of domains; what else is no type of PostgreSQL's own is written by its output function.
        SELECT @schema@.observer_base_type(t.typelem) INTO element
            FROM pg_type AS t WHERE t.oid = base AND t.typcategory = 'A' AND t.typlen = -1;
        IF element IS NULL OR element >= 16384 THEN
            RETURN part;
        END IF;
        SELECT t.typarray INTO base FROM pg_type AS t WHERE t.oid = element;
    END IF;
    RETURN (SELECT format('(CASE WHEN pg_catalog.num_nulls(%s) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.concat(%s)::%I.%I END)',
                          part, part, n.nspname, t.typname)
            FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE t.oid = base);
END $$;

-- The columns of a table or the fields of a composite type, in order. A virtual generated column has no value in a trigger.
CREATE FUNCTION observer_attributes(relation oid, OUT place bigint, OUT name name, OUT type oid, OUT modifier integer)
    RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT row_number() OVER (ORDER BY attnum), attname, atttypid, atttypmod
    FROM pg_attribute
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated <> 'v'
    ORDER BY attnum
$$;

-- An SQL condition that is true while a value still has this type; for a composite one, while its fields have theirs.
CREATE FUNCTION observer_has_type(type oid, value text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base     CONSTANT oid := @schema@.observer_base_type(type);
    -- By its name with the schema, since that of the session is not searched; and a type that is not PostgreSQL's own also by
    -- its number: its owner can give the name to another one, for which the casts of the expressions mean something else.
    has_type CONSTANT text := (
        SELECT format('pg_catalog.pg_typeof(%s) OPERATOR(pg_catalog.=) %L::pg_catalog.regtype', value,
                      format('%I.%I', n.nspname, t.typname))
            || CASE WHEN t.oid >= 16384 THEN
                   format(' AND pg_catalog.pg_typeof(%s)::pg_catalog.oid OPERATOR(pg_catalog.=) %L::pg_catalog.oid', value, t.oid)
                   ELSE '' END
        FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE t.oid = type);
    fields   text;
BEGIN
    IF base >= 16384 THEN
        SELECT string_agg(@schema@.observer_has_type(a.type, format('(%s).%I', value, a.name)), ' AND ' ORDER BY a.place)
            INTO fields
            FROM pg_type AS t CROSS JOIN LATERAL @schema@.observer_attributes(t.typrelid) AS a
            WHERE t.oid = base AND t.typtype = 'c';
    END IF;
    RETURN concat_ws(' AND ', has_type, fields);
END $$;

-- The settings that decide how values of a type are written; a function that writes such a value has them set.
CREATE FUNCTION observer_settings(type oid) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base CONSTANT oid := @schema@.observer_base_type(type);
    t    pg_type;
    name text;
BEGIN
    SELECT * INTO t FROM pg_type WHERE oid = base;
    IF t.typcategory = 'A' AND t.typlen = -1 THEN
        RETURN @schema@.observer_settings(t.typelem)
            || CASE WHEN @schema@.observer_base_type(t.typelem) = 'timestamptz'::regtype THEN ARRAY['timezone'] ELSE '{}' END
            || CASE WHEN @schema@.observer_base_type(t.typelem) = 'bytea'::regtype THEN ARRAY['bytea_output'] ELSE '{}' END
            || CASE WHEN t.typelem >= 16384 THEN ARRAY['array_nulls'] ELSE '{}' END;
    END IF;
    name := t.typname;
    RETURN CASE
        WHEN t.typtype = 'e' THEN '{}'
        WHEN base >= 16384 THEN
            ARRAY['array_nulls', 'bytea_output', 'datestyle', 'extra_float_digits', 'intervalstyle', 'lc_monetary',
                  'quote_all_identifiers', 'search_path', 'timezone']
        WHEN t.typcategory = 'G' OR name IN ('float4', 'float8') THEN ARRAY['extra_float_digits']
        WHEN name = 'interval' THEN ARRAY['intervalstyle']
        WHEN name = 'money' THEN ARRAY['lc_monetary']
        WHEN name ~ '^(timetz|(date|ts|tstz)(multi)?range)$' THEN ARRAY['datestyle', 'timezone']
        WHEN name ~ '^reg' THEN ARRAY['quote_all_identifiers', 'search_path']
        ELSE '{}'
    END;
END $$;

-- An SQL expression for a column of the key as text; null for null. What is text or a number is itself, and other values are as
-- they are in the image.
CREATE FUNCTION observer_key_part(type oid, value text, is_one_of_several boolean) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base CONSTANT oid := @schema@.observer_base_type(type);
    part text;
BEGIN
    IF base IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype) THEN
        RETURN format('%s::pg_catalog.text', value);
    ELSIF base IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) THEN
        part := format('%s::pg_catalog.text', value);
    ELSE
        part := format('(pg_catalog.to_json(%s) OPERATOR(pg_catalog.#>>) ''{}''::pg_catalog.text[])',
                       @schema@.observer_value(type, value));
    END IF;
    IF is_one_of_several THEN
        part := format($sql$pg_catalog.replace(pg_catalog.replace(%s, E'\\', E'\\\\'), ':', E'\\:')$sql$, part);
    END IF;
    RETURN part;
END $$;

-- What is generated for each column of a table: expressions over `row`, which is NEW, OLD or a parameter.
--
-- `size`: bytes of a value that can be large, else null. `same`: for a type whose values can differ in their texts and
-- be the same (1 and 1.00), whether this value is the same as that of `other`.
CREATE FUNCTION observer_columns(relation oid, "row" text, other text,
    OUT place bigint, OUT name text, OUT type oid, OUT value text, OUT has_type text, OUT size text, OUT same text,
    OUT settings text[]) RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a    record;
    base oid;
    x    text;
    y    text;
BEGIN
    FOR a IN SELECT * FROM @schema@.observer_attributes(relation) LOOP
        base := @schema@.observer_base_type(a.type);
        x := format('%s.%I', "row", a.name);
        y := format('%s.%I', other, a.name);
        place := a.place;
        name := a.name;
        type := a.type;
        value := @schema@.observer_value(a.type, x);
        has_type := @schema@.observer_has_type(a.type, x);
        size := CASE
            WHEN base IN ('text'::regtype, 'bytea'::regtype) OR base = 'varchar'::regtype AND a.modifier = -1
            THEN format('coalesce(pg_catalog.octet_length(%s), 0)', x)
            WHEN EXISTS (SELECT 1 FROM pg_type WHERE oid = base AND typlen = -1 AND NOT (
                base IN ('numeric'::regtype, 'inet'::regtype, 'cidr'::regtype)
                OR base IN ('varchar'::regtype, 'bpchar'::regtype) AND a.modifier BETWEEN 0 AND 100000))
            THEN format('coalesce(pg_catalog.pg_column_size(%s), 0)', x)
        END;
        same := CASE
            WHEN base = 'numeric'::regtype AND a.modifier = -1 OR base IN ('jsonb'::regtype, 'numeric[]'::regtype)
            THEN format('coalesce(%s OPERATOR(pg_catalog.=) %s, %s IS NULL AND %s IS NULL)', x, y, x, y)
        END;
        settings := @schema@.observer_settings(a.type);
        RETURN NEXT;
    END LOOP;
END $$;

-- The expression for the image of a row: of the named columns, or of all.
CREATE FUNCTION observer_image_expression(relation oid, "row" text, names text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT @schema@.observer_object(array_agg(c.name ORDER BY c.place), array_agg(c.value ORDER BY c.place))
    FROM @schema@.observer_columns(relation, "row", "row") AS c
    WHERE names IS NULL OR c.name = ANY (names)
$$;

-- The expression for the key of a row; null if a column of it is gone.
CREATE FUNCTION observer_key_expression(relation oid, "row" text, key text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN count(a.name) = cardinality(key) THEN
               string_agg(@schema@.observer_key_part(a.type, format('%s.%I', "row", k.name), cardinality(key) > 1),
                          ' OPERATOR(pg_catalog.||) '':'' OPERATOR(pg_catalog.||) ' ORDER BY k.place)
           END
    FROM unnest(key) WITH ORDINALITY AS k (name, place)
         LEFT JOIN @schema@.observer_attributes(relation) AS a ON a.name = k.name
$$;

-- The same as values: for a row of a table that was changed since its function was generated. Slow, and only until
-- `aftercommit capture refresh` has run.
--
-- They take the row in a record of its own: for the row itself, a function of the same name for the table's type would fit better.
CREATE FUNCTION observer_unboxed(boxed record) RETURNS record
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN boxed;
END $$;

-- What finds the row in it again, for a FROM.
CREATE FUNCTION observer_unboxing(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT $q$@schema@.observer_unboxed($1) AS r ("row" $q$ || format('%I.%I)', n.nspname, t.typname)
    FROM pg_class AS c JOIN pg_type AS t ON t.oid = c.reltype JOIN pg_namespace AS n ON n.oid = t.typnamespace
    WHERE c.oid = relation
$$;

CREATE FUNCTION observer_image(boxed record, relation oid, names text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET array_nulls = on SET bytea_output = 'hex' SET datestyle = 'ISO, MDY' SET extra_float_digits = 1
SET intervalstyle = 'postgres' SET lc_monetary = 'C' SET quote_all_identifiers = off SET timezone = 'UTC' AS $$
DECLARE
    image text;
BEGIN
    EXECUTE 'SELECT (' || @schema@.observer_image_expression(relation, '(r."row")', names) || ')::text FROM '
        || @schema@.observer_unboxing(relation) INTO image USING boxed;
    RETURN image;
END $$;

-- Bytes of the values that can be large; null if there is none. A compressed value counts as it is stored.
CREATE FUNCTION observer_size(boxed record, relation oid, names text[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bytes bigint;
BEGIN
    EXECUTE 'SELECT ' || coalesce((SELECT string_agg(c.size || '::bigint', ' + ')
                                   FROM @schema@.observer_columns(relation, '(r."row")', '(r."row")') AS c
                                   WHERE names IS NULL OR c.name = ANY (names)), 'NULL::bigint') || ' FROM '
        || @schema@.observer_unboxing(relation) INTO bytes USING boxed;
    RETURN bytes;
END $$;

CREATE FUNCTION observer_key(boxed record, relation oid, key text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO, MDY' SET extra_float_digits = 1 SET intervalstyle = 'postgres' SET lc_monetary = 'C'
SET quote_all_identifiers = off SET timezone = 'UTC' AS $$
DECLARE
    id text;
BEGIN
    EXECUTE 'SELECT ' || coalesce(@schema@.observer_key_expression(relation, '(r."row")', key), 'NULL::text') || ' FROM '
        || @schema@.observer_unboxing(relation) INTO id USING boxed;
    RETURN id;
END $$;

-- One column of a row as JSON; null if it is gone, or is null.
CREATE FUNCTION observer_field(boxed record, relation oid, names text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT CASE WHEN field.value <> 'null' THEN field.value END
            FROM json_each_text(@schema@.observer_image(boxed, relation, names)::json) AS field (name, value)
            WHERE field.name = names[1]);
END $$;

-- A text as a time; null when it is none, and when it is of no year from 1 to 9999.
CREATE OR REPLACE FUNCTION observer_time(value text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    read timestamptz;
BEGIN
    read := value;
    RETURN CASE WHEN read >= '0001-01-01' AND read < '10000-01-01' THEN read END;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- The order of events

-- The place and the time of a statement's events: those of its first row that asks, kept for the transaction in a setting.
-- `statement` tells statements apart that use the same setting. The place is taken after the statement has all its locks,
-- so that it also orders transactions that waited for each other. Whoever runs statements can write the setting too, and
-- can then put events of their own rows into another order, but not before the beginning nor after this moment.
CREATE FUNCTION observer_statement(setting text, statement text, seq bigint, now timestamptz,
    OUT place bigint, OUT began_at timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    epoch CONSTANT timestamptz := '1970-01-01 00:00:00+00';
    kept  CONSTANT text[] := string_to_array(current_setting(setting, true), ':');
    since bigint;
BEGIN
    IF kept[1] = statement AND kept[2] ~ '^[0-9]{1,18}$' AND kept[3] ~ '^[0-9]{1,18}$' THEN
        place := kept[2]::bigint;
        since := kept[3]::bigint;
        IF place <= seq AND since <= extract(epoch FROM now) * 1000000 THEN
            began_at := epoch + since * interval '1 microsecond';
            RETURN;
        END IF;
    END IF;
    place := seq;
    began_at := now;
    PERFORM set_config(setting, concat_ws(':', statement, seq, (extract(epoch FROM now) * 1000000)::bigint), true);
END $$;

-- Before a statement on a table whose rows can change each other by triggers: its events have a place of their own.
CREATE FUNCTION observer_statement_begins() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('aftercommit.statement_' || pg_trigger_depth(), '', true);
    RETURN NULL;
END $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- The functions of earlier versions, with all names qualified

CREATE OR REPLACE FUNCTION observer_revise() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE @schema@.observer_revision SET revision = revision + 1;
    PERFORM pg_notify('observer_revision', '');
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION observer_destinations_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('observer_destinations', '');
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION observer_date() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at = clock_timestamp();
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION observer_pause() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
        pause := EXISTS (SELECT 1 FROM @schema@.tb_observer WHERE name = toggled AND NOT enabled);
        UPDATE @schema@.observer_deliveries SET paused = pause WHERE observer = toggled AND paused <> pause;
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION observer_key_bucket(ordering_key text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 256 OPERATOR(pg_catalog.+) (pg_catalog.hashtext(ordering_key) OPERATOR(pg_catalog.&) 255)
$$;

CREATE OR REPLACE FUNCTION observer_lock_keys(ordering_keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bucket integer;
BEGIN
    FOR bucket IN
        SELECT DISTINCT @schema@.observer_key_bucket(k) FROM unnest(ordering_keys) AS k WHERE k IS NOT NULL ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(1634104419, bucket);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION observer_deliveries_came() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1634104419, @schema@.observer_key_bucket(NEW.ordering_key));
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
    PERFORM pg_advisory_xact_lock(1634104419, @schema@.observer_key_bucket(OLD.ordering_key));
    IF TG_OP = 'UPDATE' THEN
        UPDATE @schema@.observer_deliveries SET blocked = true WHERE id = OLD.id;
    END IF;
    UPDATE @schema@.observer_deliveries SET blocked = false
    WHERE id = (SELECT first.id FROM @schema@.observer_deliveries AS first
                WHERE first.ordering_key = OLD.ordering_key
                ORDER BY first.event_seq, first.position, first.id LIMIT 1);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION observer_make_partitions(parent text, days integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    today CONSTANT date := current_date;
    by_time text;
    day   date;
    part  text;
    taken boolean;
    made  integer := 0;
    own   CONSTANT text := $schema$@schema@$schema$;
BEGIN
    by_time := CASE parent WHEN 'observer_events' THEN 'occurred_at' ELSE 'started_at' END;
    FOR day IN SELECT today + n FROM generate_series(0, days - 1) AS n LOOP
        part := parent || '_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(format('%s.%I', own, part)) IS NOT NULL;
        BEGIN
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s.%I WHERE %I >= %L AND %I < %L)',
                           own, parent || '_default', by_time, day::timestamptz, by_time, (day + 1)::timestamptz)
                INTO taken;
            CONTINUE WHEN taken;
            -- Made beside the parent and then attached, so that the parent stays open for reading and writing.
            EXECUTE format('CREATE TABLE %1$s.%2$I (LIKE %1$s.%3$I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', own, part, parent);
            EXECUTE format('ALTER TABLE %1$s.%2$I ATTACH PARTITION %1$s.%3$I FOR VALUES FROM (%4$L) TO (%5$L)',
                           own, parent, part, day::timestamptz, (day + 1)::timestamptz);
            made := made + 1;
        EXCEPTION WHEN lock_not_available OR duplicate_table OR check_violation THEN
            EXIT;
        END;
    END LOOP;
    RETURN made;
END $$;

CREATE OR REPLACE FUNCTION observer_drop_partitions(parent text, before timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    part    record;
    from_at timestamptz;
    to_at   timestamptz;
    dropped bigint := 0;
    own     CONSTANT text := $schema$@schema@$schema$;
BEGIN
    FOR part IN
        SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS row_count
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(format('%s.%I', own, parent)) AND c.relname ~ '_[0-9]{8}$'
        ORDER BY c.relname
    LOOP
        from_at := to_date(right(part.name, 8), 'YYYYMMDD')::timestamptz;
        to_at := from_at + interval '1 day';
        EXIT WHEN to_at > before;
        BEGIN
            -- Locked first: what is live is looked at when nothing more can become so.
            EXECUTE format('LOCK TABLE %s.%I IN ACCESS EXCLUSIVE MODE', own, parent);
            CONTINUE WHEN parent = 'observer_events' AND (
                EXISTS (SELECT 1 FROM @schema@.observer_inbox AS i
                        WHERE i.place = 0 AND (i.occurred_at IS NULL OR i.occurred_at >= from_at AND i.occurred_at < to_at))
                OR EXISTS (SELECT 1 FROM @schema@.observer_deliveries AS d WHERE d.event_at >= from_at AND d.event_at < to_at));
            EXECUTE format('DROP TABLE %s.%I', own, part.name);
            dropped := dropped + part.row_count;
        EXCEPTION WHEN lock_not_available THEN
            EXIT;
        END;
    END LOOP;
    RETURN dropped;
END $$;

-- Drops what the triggers of earlier versions ran, once there are none of them any more.
CREATE FUNCTION observer_drop_earlier() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['observer_capture_rows', 'observer_capture_update', 'observer_capture_log'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                       WHERE p.proname = name AND p.pronamespace = to_regnamespace($schema$@schema@$schema$)) THEN
            EXECUTE format('DROP FUNCTION IF EXISTS %s.%I()', $schema$@schema@$schema$, name);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT 1 FROM pg_proc WHERE proname LIKE 'observer\_capture\_%' AND proname IN (
                       'observer_capture_rows', 'observer_capture_update', 'observer_capture_log')
                     AND pronamespace = to_regnamespace($schema$@schema@$schema$)) THEN
        DROP FUNCTION IF EXISTS @schema@.observer_event_id(timestamptz), @schema@.observer_key(json, text[]),
            @schema@.observer_is_readable(json), @schema@.observer_readable(json), @schema@.observer_unless_null(json);
    END IF;
END $$;
