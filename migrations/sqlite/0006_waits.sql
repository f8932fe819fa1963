-- When deliveries began to wait. A clock that was set back since shows by it, and their waits can be kept as long as they were meant to be.
ALTER TABLE observer_deliveries ADD COLUMN waiting_since TEXT;         -- null: by a program that did not write it
CREATE INDEX observer_deliveries_waiting_since ON observer_deliveries (waiting_since) WHERE state = 'waiting';
