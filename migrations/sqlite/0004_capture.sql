-- aftercommit, schema version 4: a captured change is one row of the inbox, with its images, until intake takes it.

-- Changes and emitted events that intake has not taken yet. Triggers write here inside the application's own
-- transaction, so there is no check but the key: a row that is no event is put aside by intake.
-- To have an event matched again: INSERT INTO observer_inbox (event_seq) SELECT seq FROM observer_events WHERE ..
-- No table is renamed here: SQLite would refuse while a trigger names one that is not there.
CREATE TABLE observer_inbox_3 AS SELECT seq FROM observer_inbox;
DROP TABLE observer_inbox;
CREATE TABLE observer_inbox (
    seq         INTEGER PRIMARY KEY,               -- microseconds since 1970 and never the same twice: order, time and id
    event_seq   INTEGER,                           -- observer_events.seq of an event that is matched again
    id          TEXT,                              -- of an emitted event; null: made of seq
    entity_type TEXT,
    entity_id   TEXT,
    event_kind  TEXT,                              -- an update of the key is two events: deleted as old_id, and created
    occurred_at TEXT,                              -- of an emitted event; null: seq
    data        TEXT,                              -- an image as triggers write it (SQL literals), or JSON
    old         TEXT,
    old_id      TEXT,                              -- entity_id before an update
    changed     TEXT,
    tenant_id   TEXT,
    actor       TEXT,
    traceparent TEXT,
    pending     TEXT                               -- a place that a change took before it was made; of one that was not made, it is left
);
INSERT INTO observer_inbox (seq, event_seq) SELECT seq, seq FROM observer_inbox_3 ORDER BY seq;
DROP TABLE observer_inbox_3;
CREATE UNIQUE INDEX observer_inbox_by_id ON observer_inbox (id) WHERE id IS NOT NULL;
CREATE INDEX observer_inbox_by_event ON observer_inbox (event_seq) WHERE event_seq IS NOT NULL;

-- The last number that intake took: the next is higher, also when the inbox is empty.
CREATE TABLE observer_taken (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
);
INSERT INTO observer_taken (one, seq) VALUES (1, 0);

-- Who makes the changes of a transaction, and why: the application writes it in the transaction, and clears it there.
CREATE TABLE observer_context (
    one         INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    actor       TEXT,
    tenant_id   TEXT,
    traceparent TEXT
);
INSERT INTO observer_context (one) VALUES (1);

-- The time now in microseconds, with the milliseconds that every SQLite knows; the same throughout a statement.
CREATE VIEW observer_now AS
SELECT CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER) * 1000 AS us;

-- The number of the next row of the inbox.
CREATE VIEW observer_next AS
SELECT max((SELECT us FROM observer_now),
           1 + max(coalesce((SELECT max(seq) FROM observer_inbox), 0),
                   coalesce((SELECT seq FROM observer_taken), 0))) AS seq;

-- Rows that could not become events, with what was captured of them.
CREATE TABLE observer_quarantine_3 AS SELECT * FROM observer_quarantine;
DROP TABLE observer_quarantine;
CREATE TABLE observer_quarantine (
    pk_quarantine  INTEGER PRIMARY KEY AUTOINCREMENT,
    event_seq      INTEGER,                        -- observer_events.seq, if the row is there
    event_id       TEXT,
    entity_type    TEXT,
    entity_id      TEXT,
    event_kind     TEXT,
    occurred_at    TEXT,
    data           TEXT,
    old            TEXT,
    changed        TEXT,
    tenant_id      TEXT,
    actor          TEXT,
    traceparent    TEXT,
    reason         TEXT NOT NULL,
    quarantined_at TEXT NOT NULL
);
INSERT INTO observer_quarantine
    (pk_quarantine, event_seq, event_id, entity_type, entity_id, reason, quarantined_at)
SELECT pk_quarantine, event_seq, event_id, entity_type, entity_id, reason, quarantined_at FROM observer_quarantine_3;
DROP TABLE observer_quarantine_3;
CREATE INDEX observer_quarantine_by_event ON observer_quarantine (event_seq) WHERE event_seq IS NOT NULL;

-- Bytes of the event's images, so that a claim can stop in time.
ALTER TABLE observer_deliveries ADD COLUMN event_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE observer_deliveries
SET event_bytes = coalesce((SELECT coalesce(length(CAST(data AS BLOB)), 0) + coalesce(length(CAST(old AS BLOB)), 0)
                            FROM observer_events WHERE seq = event_seq), 0);

ALTER TABLE observer_captures ADD COLUMN selection TEXT NOT NULL DEFAULT '"all"'; -- JSON
ALTER TABLE observer_captures ADD COLUMN condition TEXT;                          -- null: every change

-- How far existing rows have become events.
CREATE TABLE observer_backfills (
    table_name  TEXT NOT NULL PRIMARY KEY,
    condition   TEXT,
    kind        TEXT NOT NULL,                     -- created, custom
    last        TEXT,                              -- JSON: SQL literals of the last key
    last_id     TEXT,                              -- the same as entity_id
    rows        INTEGER NOT NULL DEFAULT 0,
    events      INTEGER NOT NULL DEFAULT 0,
    started_at  TEXT NOT NULL,
    finished_at TEXT
);
