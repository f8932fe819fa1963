-- aftercommit, schema version 9: hosts say which observers they work with.

-- A running host may hold what is changed here; the application must not wait for long behind this.
SET LOCAL lock_timeout = '5s';

ALTER TABLE observer_hosts ADD COLUMN revision bigint; -- observer_revision.revision of the observers that it works with; null: none yet
