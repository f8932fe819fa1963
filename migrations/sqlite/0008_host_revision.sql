-- aftercommit, schema version 8: hosts say which observers they work with.

ALTER TABLE observer_hosts ADD COLUMN revision INTEGER; -- observer_revision.revision of the observers that it works with; null: none yet
