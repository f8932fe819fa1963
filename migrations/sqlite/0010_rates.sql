-- Rates that hosts have learned from refusals (429 without a time), so that a host that starts does not begin from nothing.
CREATE TABLE observer_learned_rates (
    kind       TEXT NOT NULL CHECK (kind IN ('destination', 'endpoint')),
    name       TEXT NOT NULL,                      -- as in observer_destinations
    per_minute INTEGER NOT NULL CHECK (per_minute > 0), -- calls of one host
    since      TEXT NOT NULL,                      -- when one was refused first
    updated_at TEXT NOT NULL,
    lanes      TEXT NOT NULL,                      -- JSON: [["observer", "action"], ..] whose deliveries are sent at this rate
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
