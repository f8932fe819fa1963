//! Functions and operators that fit better than PostgreSQL's own, and those of own types.

use std::collections::BTreeMap;

use aftercommit_store::{
    CaptureRequest, Captures as _, ChangeLogRequest, Selection, conformance::TestDatabase as _,
};

use super::{Attacker, shadows, trap};
use crate::database::at;

/// `(row).name` is a call of the function `name` where the type has no such field.
#[tokio::test]
async fn functions_with_the_names_of_fields_do_not_run() {
    let mut attacker = Attacker::new().await;
    attacker.run("CREATE TYPE evil.pair AS (a INTEGER, b TEXT)").await;
    for (table, selection) in [("t", Selection::All), ("u", Selection::Exclude(vec!["p".into()]))] {
        attacker.run(&format!("CREATE TABLE evil.{table} (id INTEGER PRIMARY KEY, p evil.pair)")).await;
        let request = CaptureRequest {
            selection,
            condition: Some("id > 0".into()),
            ..CaptureRequest::new(format!("evil.{table}"), table)
        };
        attacker.database.store.add_capture(request, at(0)).await.unwrap();
    }
    attacker.run("ALTER TYPE evil.pair RENAME ATTRIBUTE a TO c; ALTER TYPE evil.pair DROP ATTRIBUTE b").await;
    attacker.run(&trap("evil.a", "evil.pair", "int4", "1")).await;
    attacker.run(&trap("evil.b", "evil.pair", "text", "'x'")).await;
    for table in ["t", "u"] {
        attacker
            .run(&format!(
                "INSERT INTO evil.{table} VALUES (1, '(1)'); UPDATE evil.{table} SET id = 2; UPDATE evil.{table} SET p = '(2)';
                 DELETE FROM evil.{table}"
            ))
            .await;
    }
    attacker.assert_nothing_gained().await;
    assert_eq!(attacker.database.images().await[0].to_string(), r#"{"id":1,"p":{"c":1}}"#);
}

/// In the session's search path, in the schema of our functions, and in that of the session's temporary objects.
#[tokio::test]
async fn functions_and_operators_that_fit_better_do_not_run() {
    for schema in ["evil", "public", "pg_temp"] {
        let mut attacker = Attacker::new().await;
        attacker
            .database
            .sql(&format!(
                "GRANT CREATE ON SCHEMA public TO {0}; GRANT ALL ON tb_observer TO {0}",
                attacker.role
            ))
            .await;
        attacker
            .run(
                "CREATE TYPE evil.mood AS ENUM ('sad', 'glad');
                 CREATE TABLE evil.t (id INTEGER PRIMARY KEY, m evil.mood, n NUMERIC, j JSONB, x TEXT, at TIMESTAMPTZ, b BYTEA, f BOOLEAN,
                     c CHAR(3), r INT4RANGE);
                 CREATE TABLE evil.u (id INTEGER PRIMARY KEY, n INTEGER, next INTEGER REFERENCES evil.u ON DELETE CASCADE);
                 CREATE TABLE evil.log (object_type TEXT, object_id TEXT, modification_type TEXT, object_data JSONB, created_at TIMESTAMPTZ)",
            )
            .await;
        let request = CaptureRequest {
            condition: Some("CHANGED(x) OR n > 0 OR x LIKE 'a%' OR f = true OR m = 'sad' OR at > '2020-01-01' OR EVENT.entity_id = '1'".into()),
            ..CaptureRequest::new("evil.t", "T")
        };
        attacker.database.store.add_capture(request, at(0)).await.unwrap();
        attacker.database.capture("evil.u", "U").await;
        let log = ChangeLogRequest { table: "evil.log".into(), columns: BTreeMap::new(), notify: true };
        attacker.database.store.add_change_log(log, at(0)).await.unwrap();
        // A host does use what others put beside its tables; it warns of that. The functions that it made do not.
        attacker.run(&shadows(schema)).await;
        if schema == "pg_temp" {
            attacker.run("SET search_path = pg_temp, evil, pg_catalog").await;
        }
        let change = "INSERT INTO evil.t VALUES (1, 'sad', 1, '{}', 'abc', '2026-01-01', 'x', true, 'a', '[1,2)');
             UPDATE evil.t SET x = 'b'; UPDATE evil.t SET n = 1.00; UPDATE evil.t SET id = 2; DELETE FROM evil.t;
             INSERT INTO evil.u VALUES (1, 1, NULL), (2, 1, 1); UPDATE evil.u SET id = 3 WHERE id OPERATOR(pg_catalog.=) 2;
             DELETE FROM evil.u WHERE id OPERATOR(pg_catalog.=) 1;
             INSERT INTO evil.log VALUES ('T', '1', 'UPDATE', '{\"op\": \"u\", \"before\": {}, \"after\": {}}', '2026-01-01')";
        attacker.run(change).await;
        attacker
            .run(
                "INSERT INTO public.tb_observer (name) VALUES ('x'); UPDATE public.tb_observer SET enabled = false;
                 DELETE FROM public.tb_observer",
            )
            .await;
        // The slow way.
        attacker.run("ALTER TABLE evil.t ALTER m TYPE TEXT; ALTER TABLE evil.u ALTER n TYPE BIGINT; ALTER TABLE evil.log ALTER object_id TYPE VARCHAR(3)").await;
        attacker.run(change).await;
        attacker.assert_nothing_gained().await;
        let problem =
            attacker.database.ask("SELECT string_agg(DISTINCT problem, '; ') FROM observer_inbox").await;
        assert_eq!(problem, None, "{schema}");
        let count = attacker.database.ask("SELECT count(*)::text FROM observer_inbox").await;
        assert_eq!(count.as_deref(), Some("24"), "{schema}");
    }
}

/// Their output runs no function of theirs, whatever they are made of.
#[tokio::test]
async fn functions_of_domains_and_ranges_do_not_run() {
    let mut attacker = Attacker::new().await;
    attacker.run(&trap("evil.fits", "anyelement", "bool", "true")).await;
    attacker
        .run(&trap("evil.diff", "int4, int4", "float8", "1").replace("plpgsql", "plpgsql IMMUTABLE"))
        .await;
    attacker
        .run(
            "CREATE DOMAIN evil.even AS INTEGER CHECK (evil.fits(VALUE)); CREATE DOMAIN evil.word AS TEXT CHECK (evil.fits(VALUE));
             CREATE DOMAIN evil.words AS TEXT[] CHECK (evil.fits(VALUE[1])); CREATE TYPE evil.pair AS (a evil.even, b evil.word);
             CREATE DOMAIN evil.whole AS evil.pair CHECK (evil.fits((VALUE).a));
             CREATE TYPE evil.span AS RANGE (subtype = int4, subtype_diff = evil.diff); CREATE TYPE evil.far AS RANGE (subtype = evil.even);
             CREATE TABLE evil.t (id evil.even PRIMARY KEY, w evil.word, ws evil.words, es evil.even[], p evil.pair, whole evil.whole,
                 s evil.span, f evil.far, g evil.word GENERATED ALWAYS AS (w) STORED)",
        )
        .await;
    attacker.capture("evil.t").await;
    let change = "INSERT INTO evil.t VALUES (1, 'a', '{b}', '{1}', '(1,c)', '(2,d)', '[1,2]', '[3,4)'); UPDATE evil.t SET w = 'b';
         UPDATE evil.t SET id = 2; DELETE FROM evil.t;";
    attacker.run(change).await;
    attacker.run("ALTER TABLE evil.t ALTER w TYPE VARCHAR(10), DROP COLUMN g").await;
    attacker.run(change).await;
    attacker.assert_nothing_gained().await;
    let mut kinds = vec!["created 1", "updated 1", "deleted 1", "created 2", "deleted 2"];
    kinds.extend_from_within(..);
    assert_eq!(attacker.database.kinds().await, kinds);
}
