-- aftercommit, schema version 1: events, deliveries, observers and what is known of them.
--
-- Times are texts, RFC 3339 in UTC with six digits after the second: people can read them, and they order as times do.
-- The PostgreSQL migrations have the same numbers and the same tables.

-- Every committed change and every event emitted by hand: the audit trail. Append-only until retention drops the old.
-- Triggers write here inside the application's own transaction, so nothing but their own values is NOT NULL and there
-- is no check and no foreign key: a row that is no event is found by intake and put aside, it never fails a commit.
CREATE TABLE observer_events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of events; never used again, also not after retention
    id          TEXT NOT NULL UNIQUE,              -- UUID
    entity_type TEXT,
    entity_id   TEXT,
    event_kind  TEXT,                              -- created, updated, deleted, custom
    occurred_at TEXT,
    data        TEXT,                              -- JSON: the row after the change; of a deleted row, the row before
    old         TEXT,                              -- JSON: the row before an update
    changed     TEXT,                              -- JSON: names of changed fields; null: worked out from old and data
    tenant_id   TEXT,
    actor       TEXT,
    traceparent TEXT
);

CREATE INDEX observer_events_by_time ON observer_events (occurred_at);

-- What intake has not seen yet. To have an event matched again, insert its seq here.
CREATE TABLE observer_inbox (
    seq INTEGER PRIMARY KEY                        -- observer_events.seq
);

-- One row for each (event, observer, action) that has not ended. Small: rows are deleted when they end.
CREATE TABLE observer_deliveries (
    id              TEXT NOT NULL PRIMARY KEY,     -- name-based UUID of (event, observer, action): unique by itself
    event_seq       INTEGER NOT NULL,              -- observer_events.seq
    position        INTEGER NOT NULL,              -- order among the deliveries of one event
    observer        TEXT NOT NULL,
    action          TEXT NOT NULL,                 -- name of the action within the observer
    action_type     TEXT NOT NULL,                 -- name of the action's plugin
    state           TEXT NOT NULL CHECK (state IN ('ready', 'running', 'waiting')),
    blocked         INTEGER NOT NULL DEFAULT 0,    -- another of its ordering_key goes first
    paused          INTEGER NOT NULL DEFAULT 0,    -- its observer is disabled
    priority        INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,              -- a running one included
    attempts_before INTEGER NOT NULL DEFAULT 0,    -- made before the last replay
    max_attempts    INTEGER NOT NULL,
    next_attempt_at TEXT,                          -- of a waiting one
    owner           TEXT,                          -- of a running one: observer_hosts.id
    ordering_key    TEXT,                          -- deliveries with the same key run one at a time, in order
    last_error      TEXT,
    created_at      TEXT NOT NULL
) WITHOUT ROWID;

-- One partial index for each way to look for work, so that each holds only rows it can find. Those by lane serve a
-- host that passes over some lanes: however much lies in those, it is not read.
CREATE INDEX observer_deliveries_ready ON observer_deliveries (priority DESC, event_seq, position)
    WHERE state = 'ready' AND blocked = 0 AND paused = 0;
CREATE INDEX observer_deliveries_due ON observer_deliveries (next_attempt_at)
    WHERE state = 'waiting' AND blocked = 0 AND paused = 0;
CREATE INDEX observer_deliveries_ready_by_lane
    ON observer_deliveries (observer, action, priority DESC, event_seq, position)
    WHERE state = 'ready' AND blocked = 0 AND paused = 0;
CREATE INDEX observer_deliveries_due_by_lane ON observer_deliveries (observer, action, next_attempt_at)
    WHERE state = 'waiting' AND blocked = 0 AND paused = 0;
CREATE INDEX observer_deliveries_running ON observer_deliveries (owner) WHERE state = 'running';
CREATE INDEX observer_deliveries_by_event ON observer_deliveries (event_seq);
CREATE INDEX observer_deliveries_ordered ON observer_deliveries (ordering_key, event_seq, position)
    WHERE ordering_key IS NOT NULL;
CREATE INDEX observer_deliveries_unblocked ON observer_deliveries (ordering_key)
    WHERE ordering_key IS NOT NULL AND blocked = 0;

-- The observers: the one source of truth. May be changed by SQL; running hosts reload when the revision grows.
CREATE TABLE tb_observer (
    pk_observer INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    entity_type TEXT NOT NULL DEFAULT '*',         -- '*': all
    event_kind  TEXT,                              -- null: all
    condition   TEXT,                              -- null: always
    on_failure  TEXT NOT NULL DEFAULT 'dlq',       -- log, alert, dlq
    alert       TEXT,                              -- JSON: the action that tells a person, where on_failure is alert
    alert_interval_secs INTEGER NOT NULL DEFAULT 60, -- no more than one alert in so long
    ordering    TEXT NOT NULL DEFAULT 'none',      -- none, per_entity
    enabled     INTEGER NOT NULL DEFAULT 1,
    priority    INTEGER NOT NULL DEFAULT 100,      -- 0 to 1000, higher first
    retry       TEXT NOT NULL DEFAULT '{}',        -- JSON
    actions     TEXT NOT NULL DEFAULT '[]',        -- JSON
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

CREATE INDEX tb_observer_disabled ON tb_observer (name) WHERE enabled = 0;

-- One row; grows with every change of tb_observer, whoever made it.
CREATE TABLE observer_revision (
    revision INTEGER NOT NULL
);
INSERT INTO observer_revision (revision) VALUES (0);

-- Every attempt. Written by the transaction that ends the attempt.
CREATE TABLE tb_observer_log (
    pk_log        INTEGER PRIMARY KEY,
    delivery_id   TEXT,                            -- null: the condition could not be evaluated
    event_id      TEXT,
    observer      TEXT NOT NULL,
    action        TEXT,
    action_type   TEXT,
    attempt       INTEGER NOT NULL,
    max_attempts  INTEGER NOT NULL,
    status        TEXT NOT NULL,                   -- succeeded, waiting, dead, failed, lost, condition_error
    class         TEXT,                            -- misconfigured, permanent, transient, throttled
    code          TEXT,
    message       TEXT NOT NULL,
    http_status   INTEGER,
    started_at    TEXT NOT NULL,
    duration_us   INTEGER NOT NULL,
    plugin        TEXT,
    plugin_digest TEXT                             -- sha256:..
);

CREATE INDEX tb_observer_log_by_event ON tb_observer_log (event_id);
CREATE INDEX tb_observer_log_by_time ON tb_observer_log (started_at);

-- The dead letter queue: what was given up, with its own copy of the event and of the action.
CREATE TABLE observer_dlq_items (
    id              TEXT NOT NULL PRIMARY KEY,     -- the delivery's id
    event_seq       INTEGER NOT NULL,
    event_id        TEXT NOT NULL,
    entity_type     TEXT,
    entity_id       TEXT,
    event_kind      TEXT,
    occurred_at     TEXT,
    data            TEXT,
    old             TEXT,
    changed         TEXT,
    tenant_id       TEXT,
    actor           TEXT,
    traceparent     TEXT,
    position        INTEGER NOT NULL,
    observer        TEXT NOT NULL,
    action          TEXT NOT NULL,
    action_type     TEXT NOT NULL,
    action_config   TEXT NOT NULL,                 -- JSON, as written; secrets by name only
    priority        INTEGER NOT NULL,
    ordering_key    TEXT,
    attempts        INTEGER NOT NULL,
    attempts_before INTEGER NOT NULL,
    max_attempts    INTEGER NOT NULL,
    class           TEXT NOT NULL,
    code            TEXT NOT NULL,
    last_error      TEXT NOT NULL,
    http_status     INTEGER,
    died_at         TEXT NOT NULL
);

CREATE INDEX observer_dlq_items_by_time ON observer_dlq_items (died_at);

-- What people did to dead letters.
CREATE TABLE observer_dlq_history (
    pk_history INTEGER PRIMARY KEY,
    item_id    TEXT NOT NULL,                      -- observer_dlq_items.id
    event_id   TEXT NOT NULL,
    observer   TEXT NOT NULL,
    action     TEXT NOT NULL,
    what       TEXT NOT NULL,                      -- replayed, discarded
    attempts   INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    at         TEXT NOT NULL
);

CREATE INDEX observer_dlq_history_by_item ON observer_dlq_history (item_id);
CREATE INDEX observer_dlq_history_by_time ON observer_dlq_history (at);

-- Rows of observer_events that are no events, and why.
CREATE TABLE observer_quarantine (
    pk_quarantine  INTEGER PRIMARY KEY,
    event_seq      INTEGER NOT NULL,
    event_id       TEXT,
    entity_type    TEXT,
    entity_id      TEXT,
    reason         TEXT NOT NULL,
    quarantined_at TEXT NOT NULL
);

CREATE INDEX observer_quarantine_by_time ON observer_quarantine (quarantined_at);

-- Destinations that are left alone for a while, and endpoints (one action of one observer) that are paused. Small: written
-- when one is held back, deleted when it works again. To resume one, delete its row.
CREATE TABLE observer_destinations (
    kind        TEXT NOT NULL CHECK (kind IN ('destination', 'endpoint')),
    name        TEXT NOT NULL,                     -- a destination: an origin, or a server such as redis.cache; else the observer
    action      TEXT NOT NULL,                     -- of an endpoint: name of the action within the observer; else ''
    state       TEXT NOT NULL CHECK (state IN ('open', 'throttled', 'paused')),
    code        TEXT NOT NULL,                     -- of the last failure, as in tb_observer_log
    message     TEXT NOT NULL,
    http_status INTEGER,
    since       TEXT NOT NULL,
    until       TEXT,                              -- then a few deliveries try it; null: until somebody acts
    openings    INTEGER NOT NULL,                  -- of a destination: since it worked last
    lanes       TEXT NOT NULL,                     -- JSON: [["observer", "action"], ..] whose deliveries wait
    definition  TEXT,                              -- of an endpoint: digest of its action; another one lifts the pause
    revision    INTEGER,                           -- of an endpoint: observer_revision.revision then
    PRIMARY KEY (kind, name, action)
) WITHOUT ROWID;

-- The hosts that run.
CREATE TABLE observer_hosts (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,                    -- machine and process
    started_at   TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL
);

-- What the hosts say of observers that do not load.
CREATE TABLE observer_load_errors (
    host        TEXT NOT NULL,                     -- observer_hosts.id
    observer    TEXT NOT NULL,
    error       TEXT NOT NULL,
    reported_at TEXT NOT NULL,
    PRIMARY KEY (host, observer)
) WITHOUT ROWID;

-- The tables that are captured.
CREATE TABLE observer_captures (
    table_name  TEXT NOT NULL PRIMARY KEY,
    entity_type TEXT NOT NULL UNIQUE,
    key         TEXT NOT NULL,                     -- JSON: names of columns
    columns     TEXT NOT NULL,                     -- JSON: names of columns
    notify      INTEGER NOT NULL,                  -- without meaning here; see the PostgreSQL schema
    triggers    TEXT NOT NULL,                     -- JSON: {"name": "CREATE TRIGGER .."}
    created_at  TEXT NOT NULL
);
