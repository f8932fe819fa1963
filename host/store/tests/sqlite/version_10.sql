CREATE VIEW "aftercommit_TABLE"(kind,place,c0,c1) AS SELECT 0,0,0,0

CREATE TRIGGER "aftercommit_TABLE_event" INSTEAD OF INSERT ON "aftercommit_TABLE" BEGIN
  UPDATE observer_inbox SET entity_id=CASE typeof(NEW.c0) WHEN 'real' THEN printf('%!.17g',NEW.c0) WHEN 'blob' THEN hex(NEW.c0) ELSE CAST(NEW.c0 AS TEXT) END,old_id=entity_id,event_kind=NEW.kind,old=data,data=CASE WHEN ifnull(length(NEW.c0),0)+ifnull(length(NEW.c1),0)<=16777216 THEN printf('#"id" %s"n" %s',quote(NEW.c0),quote(NEW.c1)) END,pending=iif(NEW.kind IS NULL,pending,NULL),(actor,tenant_id,traceparent)=(SELECT actor,tenant_id,traceparent FROM observer_context)
  WHERE seq=(SELECT seq FROM observer_inbox WHERE seq>=(SELECT us FROM observer_now) AND pending IN (NEW.place,NEW.place||' late') AND entity_type='TABLE' ORDER BY seq DESC LIMIT 1);
END

CREATE TRIGGER "aftercommit_TABLE_late" INSTEAD OF INSERT ON "aftercommit_TABLE" WHEN NEW.place IS NOT (SELECT pending FROM observer_inbox WHERE seq>=(SELECT us FROM observer_now) AND pending IN (NEW.place,NEW.place||' late') AND entity_type='TABLE' ORDER BY seq DESC LIMIT 1) BEGIN
  INSERT INTO observer_inbox(seq,entity_type,pending) VALUES((SELECT seq FROM observer_next),'TABLE',NEW.place);
END

CREATE TRIGGER "aftercommit_TABLE_insert_before" BEFORE INSERT ON "TABLE" BEGIN
  INSERT INTO observer_inbox(seq,entity_type,pending) VALUES((SELECT seq FROM observer_next),'TABLE',iif(EXISTS(SELECT 1 FROM "TABLE" WHERE "id"=NEW."id"),'created late','created'));
END

CREATE TRIGGER "aftercommit_TABLE_insert" AFTER INSERT ON "TABLE" BEGIN
  INSERT INTO "aftercommit_TABLE" VALUES('created','created',NEW."id",NEW."n");
END

CREATE TRIGGER "aftercommit_TABLE_update_before" BEFORE UPDATE ON "TABLE" WHEN (OLD."id",OLD."n") IS NOT (NEW."id",NEW."n") BEGIN
  INSERT INTO observer_inbox(seq,entity_type,pending) VALUES((SELECT seq FROM observer_next),'TABLE',iif((OLD."id") IS NOT (NEW."id") AND EXISTS(SELECT 1 FROM "TABLE" WHERE "id"=NEW."id"),'updated late','updated'));
END

CREATE TRIGGER "aftercommit_TABLE_update" AFTER UPDATE ON "TABLE" WHEN (OLD."id",OLD."n") IS NOT (NEW."id",NEW."n") BEGIN
  INSERT INTO "aftercommit_TABLE" VALUES(NULL,'updated',OLD."id",OLD."n");
  INSERT INTO "aftercommit_TABLE" VALUES('updated','updated',NEW."id",NEW."n");
END

CREATE TRIGGER "aftercommit_TABLE_delete_before" BEFORE DELETE ON "TABLE" BEGIN
  INSERT INTO observer_inbox(seq,entity_type,pending) VALUES((SELECT seq FROM observer_next),'TABLE',iif(0,'deleted late','deleted'));
END

CREATE TRIGGER "aftercommit_TABLE_delete" AFTER DELETE ON "TABLE" BEGIN
  INSERT INTO "aftercommit_TABLE" VALUES('deleted','deleted',OLD."id",OLD."n");
END

