-- aftercommit, schema version 1: events, deliveries, observers and what is known of them.
--
-- The same numbers and tables as the SQLite migrations. What PostgreSQL adds: `observer_events` and `tb_observer_log`
-- are partitioned by day, so that retention drops whole days; whatever points at an event therefore carries the event's
-- time beside its seq, which names the partition. All names are found through the search_path that the host sets.

-- The order of events; never used again, also not after retention.
CREATE SEQUENCE observer_events_seq;

-- Every committed change and every event emitted by hand: the audit trail. Append-only until retention drops the old.
-- Triggers write here inside the application's own transaction, so nothing but their own values is NOT NULL and there
-- is no check and no foreign key: a row that is no event is found by intake and put aside, it never fails a commit.
-- Images are json, not jsonb: their texts keep every digit and the order of the columns.
CREATE TABLE observer_events (
    seq         bigint NOT NULL DEFAULT nextval('observer_events_seq'),
    id          uuid NOT NULL DEFAULT gen_random_uuid(),
    entity_type text,
    entity_id   text,
    event_kind  text,                              -- created, updated, deleted, custom
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    data        json,                              -- the row after the change; of a deleted row, the row before
    old         json,                              -- the row before an update
    changed     json,                              -- names of changed fields; null: worked out from old and data
    tenant_id   text,
    actor       text,
    traceparent text,
    PRIMARY KEY (seq, occurred_at)
) PARTITION BY RANGE (occurred_at);

ALTER SEQUENCE observer_events_seq OWNED BY observer_events.seq;

CREATE INDEX observer_events_by_id ON observer_events (id);

-- What no day's partition takes: a commit never fails for want of one. Retention works row by row here.
CREATE TABLE observer_events_default PARTITION OF observer_events DEFAULT;
CREATE INDEX observer_events_default_by_time ON observer_events_default (occurred_at);

-- What intake has not seen yet. To have an event matched again, insert its seq here: the time is filled in.
-- Rows live for milliseconds. Vacuum comes by their number, not by a share of the table, and does not pause.
CREATE TABLE observer_inbox (
    seq         bigint NOT NULL PRIMARY KEY,       -- observer_events.seq
    occurred_at timestamptz                        -- observer_events.occurred_at
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 50000);

-- One row for each (event, observer, action) that has not ended. Small: rows are deleted when they end.
-- The free part of each page takes the new versions of its own rows.
CREATE TABLE observer_deliveries (
    id              uuid NOT NULL PRIMARY KEY,     -- name-based UUID of (event, observer, action): unique by itself
    event_seq       bigint NOT NULL,               -- observer_events.seq
    event_at        timestamptz NOT NULL,          -- observer_events.occurred_at
    event_id        uuid NOT NULL,                 -- observer_events.id
    position        integer NOT NULL,              -- order among the deliveries of one event
    observer        text NOT NULL,
    action          text NOT NULL,                 -- name of the action within the observer
    action_type     text NOT NULL,                 -- name of the action's plugin
    state           text NOT NULL CHECK (state IN ('ready', 'running', 'waiting')),
    blocked         boolean NOT NULL DEFAULT false, -- another of its ordering_key goes first
    paused          boolean NOT NULL DEFAULT false, -- its observer is disabled
    priority        integer NOT NULL,
    attempts        integer NOT NULL,              -- a running one included
    attempts_before integer NOT NULL DEFAULT 0,    -- made before the last replay
    max_attempts    integer NOT NULL,
    next_attempt_at timestamptz,                   -- of a waiting one
    owner           uuid,                          -- of a running one: observer_hosts.id
    ordering_key    text,                          -- deliveries with the same key run one at a time, in order
    last_error      text,
    created_at      timestamptz NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- One partial index for each way to look for work, so that each holds only rows it can find. Those by lane serve a
-- host that passes over some lanes: however much lies in those, it is not read. A delivery that is owned from its
-- start and ends well enters the primary key and the index of the running ones, and no other.
CREATE INDEX observer_deliveries_ready ON observer_deliveries (priority DESC, event_seq, position)
    WHERE state = 'ready' AND NOT blocked AND NOT paused;
CREATE INDEX observer_deliveries_due ON observer_deliveries (next_attempt_at)
    WHERE state = 'waiting' AND NOT blocked AND NOT paused;
CREATE INDEX observer_deliveries_ready_by_lane
    ON observer_deliveries (observer, action, priority DESC, event_seq, position)
    WHERE state = 'ready' AND NOT blocked AND NOT paused;
CREATE INDEX observer_deliveries_due_by_lane ON observer_deliveries (observer, action, next_attempt_at)
    WHERE state = 'waiting' AND NOT blocked AND NOT paused;
CREATE INDEX observer_deliveries_running ON observer_deliveries (owner) WHERE state = 'running';
CREATE INDEX observer_deliveries_ordered ON observer_deliveries (ordering_key, event_seq, position, id)
    WHERE ordering_key IS NOT NULL;
CREATE INDEX observer_deliveries_unblocked ON observer_deliveries (ordering_key)
    WHERE ordering_key IS NOT NULL AND NOT blocked;

-- The observers: the one source of truth. May be changed by SQL; running hosts reload when the revision grows.
CREATE TABLE tb_observer (
    pk_observer bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    entity_type text NOT NULL DEFAULT '*',         -- '*': all
    event_kind  text,                              -- null: all
    condition   text,                              -- null: always
    on_failure  text NOT NULL DEFAULT 'dlq',       -- log, alert, dlq
    alert       json,                              -- the action that tells a person, where on_failure is alert
    alert_interval_secs integer NOT NULL DEFAULT 60, -- no more than one alert in so long
    ordering    text NOT NULL DEFAULT 'none',      -- none, per_entity
    enabled     boolean NOT NULL DEFAULT true,
    priority    integer NOT NULL DEFAULT 100,      -- 0 to 1000, higher first
    retry       json NOT NULL DEFAULT '{}',
    actions     json NOT NULL DEFAULT '[]',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX tb_observer_disabled ON tb_observer (name) WHERE NOT enabled;

-- One row; grows with every change of tb_observer, whoever made it.
CREATE TABLE observer_revision (
    revision bigint NOT NULL
);
INSERT INTO observer_revision (revision) VALUES (0);

-- Every attempt. Written by the transaction that ends the attempt.
CREATE SEQUENCE tb_observer_log_pk_log_seq;

CREATE TABLE tb_observer_log (
    pk_log        bigint NOT NULL DEFAULT nextval('tb_observer_log_pk_log_seq'),
    delivery_id   uuid,                            -- null: the condition could not be evaluated
    event_id      uuid,
    observer      text NOT NULL,
    action        text,
    action_type   text,
    attempt       integer NOT NULL,
    max_attempts  integer NOT NULL,
    status        text NOT NULL,                   -- succeeded, waiting, dead, failed, lost, condition_error
    class         text,                            -- misconfigured, permanent, transient, throttled
    code          text,
    message       text NOT NULL,
    http_status   integer,
    started_at    timestamptz NOT NULL,
    duration_us   bigint NOT NULL,
    plugin        text,
    plugin_digest text,                            -- sha256:..
    PRIMARY KEY (pk_log, started_at)
) PARTITION BY RANGE (started_at);

ALTER SEQUENCE tb_observer_log_pk_log_seq OWNED BY tb_observer_log.pk_log;

CREATE INDEX tb_observer_log_by_event ON tb_observer_log (event_id);

CREATE TABLE tb_observer_log_default PARTITION OF tb_observer_log DEFAULT;
CREATE INDEX tb_observer_log_default_by_time ON tb_observer_log_default (started_at);

-- The dead letter queue: what was given up, with its own copy of the event and of the action.
CREATE TABLE observer_dlq_items (
    id              uuid NOT NULL PRIMARY KEY,     -- the delivery's id
    event_seq       bigint NOT NULL,
    event_id        uuid NOT NULL,
    entity_type     text,
    entity_id       text,
    event_kind      text,
    occurred_at     timestamptz NOT NULL,
    data            json,
    old             json,
    changed         json,
    tenant_id       text,
    actor           text,
    traceparent     text,
    position        integer NOT NULL,
    observer        text NOT NULL,
    action          text NOT NULL,
    action_type     text NOT NULL,
    action_config   json NOT NULL,                 -- as written; secrets by name only
    priority        integer NOT NULL,
    ordering_key    text,
    attempts        integer NOT NULL,
    attempts_before integer NOT NULL,
    max_attempts    integer NOT NULL,
    class           text NOT NULL,
    code            text NOT NULL,
    last_error      text NOT NULL,
    http_status     integer,
    died_at         timestamptz NOT NULL
);

CREATE INDEX observer_dlq_items_by_time ON observer_dlq_items (died_at);

-- What people did to dead letters.
CREATE TABLE observer_dlq_history (
    pk_history bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id    uuid NOT NULL,                      -- observer_dlq_items.id
    event_id   uuid NOT NULL,
    observer   text NOT NULL,
    action     text NOT NULL,
    what       text NOT NULL,                      -- replayed, discarded
    attempts   integer NOT NULL,
    last_error text NOT NULL,
    at         timestamptz NOT NULL
);

CREATE INDEX observer_dlq_history_by_item ON observer_dlq_history (item_id);
CREATE INDEX observer_dlq_history_by_time ON observer_dlq_history (at);

-- Rows of observer_events that are no events, and why.
CREATE TABLE observer_quarantine (
    pk_quarantine  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_seq      bigint NOT NULL,
    event_id       uuid,
    entity_type    text,
    entity_id      text,
    reason         text NOT NULL,
    quarantined_at timestamptz NOT NULL
);

CREATE INDEX observer_quarantine_by_event ON observer_quarantine (event_seq);
CREATE INDEX observer_quarantine_by_time ON observer_quarantine (quarantined_at);

-- Destinations that are left alone for a while, and endpoints (one action of one observer) that are paused. Small: written
-- when one is held back, deleted when it works again. To resume one, delete its row.
CREATE TABLE observer_destinations (
    kind        text NOT NULL CHECK (kind IN ('destination', 'endpoint')),
    name        text NOT NULL,                     -- a destination: an origin, or a server such as redis.cache; else the observer
    action      text NOT NULL,                     -- of an endpoint: name of the action within the observer; else ''
    state       text NOT NULL CHECK (state IN ('open', 'throttled', 'paused')),
    code        text NOT NULL,                     -- of the last failure, as in tb_observer_log
    message     text NOT NULL,
    http_status integer,
    since       timestamptz NOT NULL,
    until       timestamptz,                       -- then a few deliveries try it; null: until somebody acts
    openings    integer NOT NULL,                  -- of a destination: since it worked last
    lanes       json NOT NULL,                     -- [["observer", "action"], ..] whose deliveries wait
    definition  text,                              -- of an endpoint: digest of its action; another one lifts the pause
    revision    bigint,                            -- of an endpoint: observer_revision.revision then
    PRIMARY KEY (kind, name, action)
);

-- The hosts that run.
CREATE TABLE observer_hosts (
    id           uuid NOT NULL PRIMARY KEY,
    name         text NOT NULL,                    -- machine and process
    started_at   timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What the hosts say of observers that do not load.
CREATE TABLE observer_load_errors (
    host        uuid NOT NULL,                     -- observer_hosts.id
    observer    text NOT NULL,
    error       text NOT NULL,
    reported_at timestamptz NOT NULL,
    PRIMARY KEY (host, observer)
);

-- The tables that are captured.
CREATE TABLE observer_captures (
    table_name  text NOT NULL PRIMARY KEY,         -- `table` in the schema public, else `schema.table`
    entity_type text UNIQUE,                       -- null: a change log, whose rows name it
    key         text[] NOT NULL,                   -- names of columns
    columns     text[] NOT NULL,                   -- names of columns
    notify      boolean NOT NULL,                  -- whether a commit rings the doorbell
    triggers    json NOT NULL,                     -- {"name": "CREATE TRIGGER .."}
    change_log  json,                              -- of a change log: {"object_type": "its column", ..}
    created_at  timestamptz NOT NULL
);
