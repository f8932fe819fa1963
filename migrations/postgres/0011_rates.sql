-- Rates that hosts have learned from refusals (429 without a time), so that a host that starts does not begin from nothing.
CREATE TABLE observer_learned_rates (
    kind       text NOT NULL CHECK (kind IN ('destination', 'endpoint')),
    name       text NOT NULL,                      -- as in observer_destinations
    per_minute bigint NOT NULL CHECK (per_minute > 0), -- calls of one host
    since      timestamptz NOT NULL,               -- when one was refused first
    updated_at timestamptz NOT NULL,
    lanes      json NOT NULL,                      -- [["observer", "action"], ..] whose deliveries are sent at this rate
    PRIMARY KEY (kind, name)
);
