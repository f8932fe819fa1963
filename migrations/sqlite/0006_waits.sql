-- When deliveries began to wait. A beginning in the future shows that the clock was set back, and tells how long the wait was planned.
ALTER TABLE observer_deliveries ADD COLUMN waiting_since TEXT; -- null: an older program wrote the row
UPDATE observer_deliveries SET waiting_since = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE state = 'waiting';
CREATE INDEX observer_deliveries_waiting_since ON observer_deliveries (waiting_since) WHERE state = 'waiting';
