-- What the triggers of all captured tables do alike is here once: each connection of the application parses all triggers.

-- A change takes its place in the inbox before it is made: `pending` is its kind. ` late` behind it: the place is taken afterwards.
CREATE VIEW observer_place AS SELECT 0 AS entity_type,0 AS pending;
CREATE TRIGGER observer_place_take INSTEAD OF INSERT ON observer_place BEGIN
INSERT INTO observer_inbox(seq,entity_type,pending) VALUES((SELECT seq FROM observer_next),NEW.entity_type,NEW.pending);
END;

-- The image of a row is written to the place of its change. Without a kind: it is the row before an update, whose other image
-- comes next. Keys that can be reals of any kind come as text.
-- Places of the same statement are at the top: what it has written is not older than the statement.
CREATE VIEW observer_image AS SELECT 0 AS kind,0 AS entity_type,0 AS key,0 AS data;
CREATE TRIGGER observer_image_write INSTEAD OF INSERT ON observer_image BEGIN
UPDATE observer_inbox SET
entity_id=CASE typeof(NEW.key) WHEN 'real' THEN printf('%!.17g',NEW.key) WHEN 'blob' THEN hex(NEW.key) ELSE CAST(NEW.key AS TEXT) END,
old_id=entity_id,event_kind=NEW.kind,old=data,data=NEW.data,pending=iif(NEW.kind IS NULL,pending,NULL),
(actor,tenant_id,traceparent)=(SELECT actor,tenant_id,traceparent FROM observer_context)
WHERE seq=(SELECT seq FROM observer_inbox WHERE seq>=(SELECT us FROM observer_now)
AND pending IN(ifnull(NEW.kind,'updated'),ifnull(NEW.kind,'updated')||' late') AND entity_type=NEW.entity_type ORDER BY seq DESC LIMIT 1);
END;
-- Made later, so it comes first: where no place was taken, or one that is too early, there is one now.
CREATE TRIGGER observer_image_late INSTEAD OF INSERT ON observer_image
WHEN ifnull(NEW.kind,'updated') IS NOT (SELECT pending FROM observer_inbox WHERE seq>=(SELECT us FROM observer_now)
AND pending IN(ifnull(NEW.kind,'updated'),ifnull(NEW.kind,'updated')||' late') AND entity_type=NEW.entity_type ORDER BY seq DESC LIMIT 1) BEGIN
INSERT INTO observer_place VALUES(NEW.entity_type,ifnull(NEW.kind,'updated'));
END;
