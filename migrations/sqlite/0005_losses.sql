-- What is known of deliveries whose hosts died. A crash costs no attempt of what may not have begun; what was lost is claimed
-- with care instead (`host/core/src/loss.rs`).
ALTER TABLE observer_deliveries ADD COLUMN uncharged INTEGER NOT NULL DEFAULT 0;   -- attempts of this round that do not count
ALTER TABLE observer_deliveries ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;      -- hosts that died in a row while they owned it
ALTER TABLE observer_deliveries ADD COLUMN lone_losses INTEGER NOT NULL DEFAULT 0; -- of these, those that died while it ran alone
ALTER TABLE observer_deliveries ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;       -- its owner runs it alone, and has begun

-- Ordinary claims pass over what was lost without reading it.
DROP INDEX observer_deliveries_ready;
DROP INDEX observer_deliveries_due;
DROP INDEX observer_deliveries_ready_by_lane;
DROP INDEX observer_deliveries_due_by_lane;
CREATE INDEX observer_deliveries_ready ON observer_deliveries (priority DESC, event_seq, position)
    WHERE state = 'ready' AND blocked = 0 AND paused = 0 AND losses = 0;
CREATE INDEX observer_deliveries_due ON observer_deliveries (next_attempt_at)
    WHERE state = 'waiting' AND blocked = 0 AND paused = 0 AND losses = 0;
CREATE INDEX observer_deliveries_ready_by_lane
    ON observer_deliveries (observer, action, priority DESC, event_seq, position)
    WHERE state = 'ready' AND blocked = 0 AND paused = 0 AND losses = 0;
CREATE INDEX observer_deliveries_due_by_lane ON observer_deliveries (observer, action, next_attempt_at)
    WHERE state = 'waiting' AND blocked = 0 AND paused = 0 AND losses = 0;
CREATE INDEX observer_deliveries_lost ON observer_deliveries (losses, priority DESC, event_seq, position)
    WHERE losses > 0 AND state <> 'running' AND blocked = 0 AND paused = 0;
