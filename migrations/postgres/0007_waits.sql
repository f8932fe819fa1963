-- When deliveries began to wait. A beginning in the future shows that the clock was set back, and tells how long the wait was planned.
-- Those that wait already get the time of this migration; the table is not rewritten for that.

-- A running host may hold what is changed here.
SET LOCAL lock_timeout = '5s';
ALTER TABLE observer_deliveries ADD COLUMN waiting_since timestamptz DEFAULT now(); -- null: an older program wrote the row
ALTER TABLE observer_deliveries ALTER COLUMN waiting_since DROP DEFAULT;
CREATE INDEX observer_deliveries_waiting_since ON observer_deliveries (waiting_since) WHERE state = 'waiting';
