//! A statement never fails for being captured, whatever its table, values and session are like; and its image is right.

use aftercommit_store::{
    CaptureRequest, Captures as _, Events as _, Quarantine as _, Selection, conformance::TestDatabase as _,
};
use serde_json::json;
use sqlx::Connection as _;

use crate::database::{Database, at, execute};

async fn capture_with(database: &Database, table: &str, selection: Selection) {
    let request = CaptureRequest { selection, ..CaptureRequest::new(table, table) };
    database.store.add_capture(request, at(0)).await.unwrap();
}

async fn last_image(database: &Database) -> String {
    database.images().await.pop().unwrap().to_string()
}

/// In the session that writes, and in another one.
#[tokio::test]
async fn a_table_that_changes_before_a_refresh() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c TIMESTAMPTZ)").await;
    database.capture("t", "T").await;
    let mut other = database.connect().await;
    let insert = |id: u32| format!("INSERT INTO t (id) VALUES ({id})");
    execute(&mut other, &insert(1)).await.unwrap();
    database.sql(&insert(2)).await;
    let mut id = 10;
    for (change, image) in [
        (
            "ALTER TABLE t ADD COLUMN d INTEGER DEFAULT 7, ALTER a TYPE NUMERIC(5,2) USING 1, ALTER a SET DEFAULT 1.5",
            r#"{"id":ID,"a":1.50,"b":null,"c":null,"d":7}"#,
        ),
        ("ALTER TABLE t RENAME COLUMN b TO e", r#"{"id":ID,"a":1.50,"e":null,"c":null,"d":7}"#),
        ("ALTER TABLE t DROP COLUMN a", r#"{"id":ID,"e":null,"c":null,"d":7}"#),
        (
            "ALTER TABLE t ADD COLUMN a INTERVAL DEFAULT '1 day'",
            r#"{"id":ID,"e":null,"c":null,"d":7,"a":"1 day"}"#,
        ),
        (
            "ALTER TABLE t ALTER id TYPE TEXT, ALTER e SET DEFAULT 'x'",
            r#"{"id":"ID","e":"x","c":null,"d":7,"a":"1 day"}"#,
        ),
    ] {
        database.sql(change).await;
        for session in 0..2 {
            id += 1;
            let statement = insert(id);
            if session == 0 {
                database.sql(&statement).await;
            } else {
                execute(&mut other, &statement).await.unwrap();
            }
            assert_eq!(last_image(&database).await, image.replace("ID", &id.to_string()), "{change}");
            database
                .sql(&format!(
                    "UPDATE t SET d = 7 WHERE id::text = '{id}'; UPDATE t SET d = 8 WHERE id::text = '{id}'"
                ))
                .await;
            let updated = database.events().await.pop().unwrap();
            assert_eq!(updated.old.unwrap()["d"], json!(7), "{change}");
            assert_eq!(updated.changed, ["d"], "{change}");
        }
    }
    database.sql("DELETE FROM t").await;
    assert_eq!(database.ask("SELECT string_agg(problem, ', ') FROM observer_inbox").await, None);
    database.store.refresh_capture("t", at(0)).await.unwrap();
    assert_eq!(database.drift().await, "");
    database.sql(&insert(99)).await;
    assert_eq!(last_image(&database).await, r#"{"id":"99","e":"x","c":null,"d":7,"a":"1 day"}"#);
}

#[tokio::test]
async fn excluded_columns_stay_out() {
    let database = Database::fresh().await;
    for (table, selection) in
        [("t", Selection::Exclude(vec!["secret".into()])), ("u", Selection::Only(vec!["name".into()]))]
    {
        database.sql(&format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT, secret TEXT)")).await;
        capture_with(&database, table, selection).await;
        let insert = |id: u32| format!("INSERT INTO {table} VALUES ({id}, 'n', 'hidden')");
        database.sql(&insert(1)).await;
        database.sql(&format!("ALTER TABLE {table} RENAME COLUMN secret TO s2")).await;
        database.sql(&insert(2)).await;
        database
            .sql(&format!(
                "UPDATE {table} SET s2 = 'hidden 2'; ALTER TABLE {table} ALTER name TYPE VARCHAR(9)"
            ))
            .await;
        database.sql(&insert(3)).await;
        // A refresh does not take the renamed column for a new one.
        let refreshed = database.store.refresh_capture(table, at(0)).await;
        assert_eq!(refreshed.is_err(), table == "t", "{refreshed:?}");
        database.sql(&insert(4)).await;
        database.sql(&format!("DELETE FROM {table}")).await;
        let held =
            database.ask("SELECT string_agg(observer_inbox::text, ' ') FROM observer_inbox").await.unwrap();
        assert!(!held.contains("hidden") && held.contains("name"), "{held}");
        let kinds = database.kinds().await.split_off(if table == "t" { 0 } else { 8 });
        assert_eq!(kinds.iter().filter(|kind| kind.starts_with("created")).count(), 4, "{kinds:?}");
    }
    let error = database.store.refresh_capture("t", at(0)).await.unwrap_err().to_string();
    assert!(error.contains("secret") && error.contains("s2") && error.contains("--exclude"), "{error}");
    capture_with(&database, "t", Selection::Exclude(vec!["s2".into()])).await;
    database.sql("ALTER TABLE t DROP COLUMN s2").await;
    database.store.refresh_capture("t", at(0)).await.unwrap();
}

#[tokio::test]
async fn as_many_columns_as_a_table_can_have() {
    let database = Database::fresh().await;
    let columns: Vec<_> =
        (1..1600).map(|n| format!("c{n} {}", ["INTEGER", "TEXT", "NUMERIC", "JSONB"][n % 4])).collect();
    database.sql(&format!("CREATE TABLE wide (id INTEGER PRIMARY KEY, {})", columns.join(", "))).await;
    database.capture("wide", "Wide").await;
    database
        .sql("INSERT INTO wide (id, c1599) VALUES (1, '{}'); UPDATE wide SET c2 = 1; DELETE FROM wide")
        .await;
    assert_eq!(database.kinds().await, ["created 1", "updated 1", "deleted 1"]);
    assert_eq!(database.images().await[0].as_object().unwrap().len(), 1600);
    // The slow way.
    database.sql("ALTER TABLE wide ALTER c4 TYPE BIGINT").await;
    database.sql("INSERT INTO wide (id, c4) VALUES (2, 5)").await;
    assert_eq!(database.images().await[3]["c4"], 5);
}

#[tokio::test]
async fn rows_of_a_great_size() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BYTEA)").await;
    database.capture("t", "T").await;
    database
        .sql("INSERT INTO t VALUES (1, repeat('x', 64 << 20)), (2, repeat(E'\\x01', 1 << 20)), (3, 'small')")
        .await;
    database.sql("UPDATE t SET a = 'y' WHERE id = 1; DELETE FROM t").await;
    let problems = database
        .ask("SELECT string_agg(seq || problem, ';') FROM observer_inbox WHERE problem IS NOT NULL")
        .await
        .unwrap();
    assert_eq!(problems.matches("64 MiB").count(), 2, "{problems}");
    assert_eq!(database.ask("SELECT count(*)::text FROM observer_inbox").await.as_deref(), Some("7"));
}

#[tokio::test]
async fn values_that_are_hard_to_read() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, j JSON, b JSONB, x XML, c CHAR(5))").await;
    database.capture("t", "T").await;
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (n, values) in [
        r#"'{"a":"\u0000"}', NULL, NULL, NULL"#.to_owned(),
        r#"'{"a":"\ud800"}', NULL, NULL, NULL"#.to_owned(),
        format!("NULL, '{deep}', NULL, NULL"),
        format!("'{deep}', NULL, NULL, NULL"),
        "NULL, 'null', '<a>\u{e9}</a>', 'ab'".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        database.sql(&format!("INSERT INTO t VALUES ({n}, {values}); UPDATE t SET c = 'x' WHERE id = {n}; DELETE FROM t WHERE id = {n}")).await;
    }
    assert_eq!(database.ask("SELECT count(*)::text FROM observer_inbox").await.as_deref(), Some("15"));
    database.settle().await;
    let kinds = database.kinds().await;
    assert!(kinds.contains(&"created 0".to_owned()) && kinds.contains(&"created 4".to_owned()), "{kinds:?}");
    assert_eq!(kinds.len() + database.store.quarantined(100).await.unwrap().len(), 15);
    assert_eq!(database.images().await.last().unwrap()["c"], "x");
}

#[tokio::test]
async fn curves_of_postgis() {
    let database = Database::fresh().await;
    let available = "SELECT count(*)::text FROM pg_available_extensions WHERE name = 'postgis'";
    if database.ask(available).await.as_deref() != Some("1") {
        eprintln!("there is no PostGIS: this test checks nothing");
        return;
    }
    database.sql("CREATE EXTENSION postgis; CREATE TABLE t (id INTEGER PRIMARY KEY, g geometry, h geography, gs geometry[])").await;
    database.capture("t", "T").await;
    database
        .sql(
            "INSERT INTO t VALUES (1, 'CIRCULARSTRING(0 0, 1 1, 2 0)', 'POINT(1 2)', ARRAY['POINT(1 1)'::geometry]);
             UPDATE t SET g = 'POINT(1 1)'; DELETE FROM t",
        )
        .await;
    assert_eq!(database.kinds().await, ["created 1", "updated 1", "deleted 1"]);
    let curve = database.images().await[0]["g"].as_str().unwrap().to_owned();
    let read = format!("SELECT ST_AsText('{curve}'::geometry)");
    assert_eq!(database.ask(&read).await.as_deref(), Some("CIRCULARSTRING(0 0,1 1,2 0)"));
}

const EVERY_TYPE: &str = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TYPE pair AS (a TIMESTAMPTZ, b FLOAT8, c INTERVAL, d BYTEA);
    CREATE DOMAIN day AS DATE; CREATE DOMAIN word AS TEXT CHECK (VALUE <> '');
    CREATE TABLE t (id INTEGER PRIMARY KEY, a TIMESTAMPTZ, b TIMESTAMP, c DATE, d TIME, e TIMETZ, f INTERVAL, g FLOAT4, h FLOAT8, i BYTEA,
        j MONEY, k XML, l REGCLASS, m REGTYPE, n REGPROC, o REGROLE, p INT4RANGE, q NUMRANGE, r DATERANGE, s TSRANGE, u TSTZRANGE,
        v INT4MULTIRANGE, w DATEMULTIRANGE, x TSTZMULTIRANGE, y BOX, z POLYGON, aa TIMESTAMPTZ[], ab FLOAT8[], ac BYTEA[], ad INTERVAL[],
        ae TSTZRANGE[], af mood[], ag pair, ah pair[], ai day, aj day[], ak word, al CHAR(4), am CHAR(4)[], an BIT(3), ao INET, ap TSVECTOR,
        aq OID, ar \"char\", at NAME, au JSON, av JSONB, aw BOOLEAN, ax REGCLASS[], ay NUMERIC, az MONEY[], ba UUID, bb POINT, bc BOX[],
        bd INT8RANGE, be NUMMULTIRANGE, bf TSMULTIRANGE, bg INT8MULTIRANGE, bh VARBIT, bi CIDR, bj MACADDR, bk TSQUERY, bl PG_LSN, bm LSEG,
        bn REGPROCEDURE, bo REGOPERATOR, bp REGNAMESPACE, bq REGCONFIG)";

const EVERY_VALUE: &str = "INSERT INTO public.t VALUES (ID, '2026-01-31 12:00:00.000001+02', '2026-01-31 12:00', '2026-01-31', '12:00', '12:00:00+02', '-1 day -02:03:04',
        0.1, 0.1::float8 + 0.2, '\\x00ff5c'::bytea, 1234.5::numeric::money, '<a/>', 'public.t', 'public.mood', 'pg_catalog.now', 'postgres', '[1,3)', '(1.50,2]',
        '[2026-01-01,2026-02-01)', '[\"2026-01-01 00:00\",\"2026-01-02 00:00\")', '[\"2026-01-01 00:00+00\",\"2026-01-02 00:00+00\")', '{[1,3),[5,7)}',
        '{[2026-01-01,2026-02-01)}', '{[\"2026-01-01 00:00+00\",\"2026-01-02 00:00+00\")}', '((0.1,0.2),(1,1))', '((0,0),(1,0.3))',
        ARRAY['2026-01-31 12:00+00'::timestamptz, NULL], ARRAY[0.1::float8 + 0.2, 'NaN'], ARRAY['\\x00ff'::bytea], ARRAY['1 mon'::interval],
        ARRAY['[\"2026-01-01 00:00+00\",)'::tstzrange], ARRAY['sad', NULL]::public.mood[], ROW('2026-01-31 12:00+00', 0.1::float8 + 0.2, '1 day 01:00', '\\x00')::public.pair,
        ARRAY[ROW('2026-01-31 12:00+00', 0.1::float8 + 0.2, '1 day 01:00', '\\x00')::public.pair], '2026-01-31', ARRAY['2026-01-31']::public.day[], 'w', 'ab', '{ab}', '101',
        '10.0.0.1', 'a:1', 42, 'c', 'n', '{\"a\": 1}', '{\"a\": 1.0}', true, ARRAY['public.t']::regclass[], 1.50, ARRAY[1.5::numeric::money], '00000000-0000-0000-0000-00000000000a',
        '(0.1,0.2)', ARRAY['((0,0),(1,1))'::box, '((0,0),(1,1))'::box], '[1,3)', '{[1.5,2]}', '{[\"2026-01-01 00:00\",)}', '{[1,3)}', '1', '10.0.0.0/8', '08:00:2b:01:02:03', 'a & b',
        '0/16', '((0,0),(1,0.3))', 'pg_catalog.now()', 'pg_catalog.=(int4,int4)', 'public', 'pg_catalog.simple')";

/// The same image whatever a session has set.
#[tokio::test]
async fn settings_of_sessions() {
    let database = Database::fresh().await;
    database.sql(EVERY_TYPE).await;
    let request = CaptureRequest {
        condition: Some("id > 0 AND g > 0 AND EVENT.occurred_at > '2020-01-01' AND a >= '2026-01-01T00:00:00Z' AND al = 'ab'".into()),
        ..CaptureRequest::new("t", "T")
    };
    database.store.add_capture(request, at(0)).await.unwrap();
    let mut id = 1;
    for slow in [false, true] {
        if slow {
            database.sql("ALTER TABLE t ADD COLUMN added INTEGER; ALTER TABLE t ALTER d TYPE TEXT").await;
        }
        for settings in [
            "SELECT 1",
            "SET search_path = ''",
            "SET search_path = pg_temp, public",
            "SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = on",
            "SET backslash_quote = off",
            "SET datestyle = 'German'",
            "SET datestyle = 'Postgres, DMY'; SET intervalstyle = 'iso_8601'",
            "SET intervalstyle = 'sql_standard'",
            "SET timezone = 'Asia/Kathmandu'",
            "SET timezone = 'America/St_Johns'; SET datestyle = 'SQL, DMY'",
            "SET extra_float_digits = -15",
            "SET extra_float_digits = 0; SET bytea_output = 'escape'",
            "SET array_nulls = off",
            "SET quote_all_identifiers = on",
            "SET lc_monetary = 'C.UTF-8'; SET lc_numeric = 'C.UTF-8'; SET lc_messages = 'C'",
            "SET plan_cache_mode = 'force_generic_plan'",
            "SET plan_cache_mode = 'force_custom_plan'",
            "SET plpgsql.extra_errors = 'all'; SET plpgsql.extra_warnings = 'all'; SET plpgsql.variable_conflict = 'use_column'",
            "SET plpgsql.check_asserts = off; SET check_function_bodies = off; SET row_security = off",
            "SET transform_null_equals = on; SET xmloption = 'document'; SET xmlbinary = 'hex'",
            "SET default_transaction_isolation = 'serializable'; SET default_transaction_deferrable = on",
            "SET client_encoding = 'LATIN1'; SET client_min_messages = 'debug5'",
            "SET jit = on; SET jit_above_cost = 0; SET work_mem = '64kB'; SET max_stack_depth = '200kB'",
            "SET lock_timeout = '1s'; SET statement_timeout = '20s'; SET default_text_search_config = 'german'",
        ] {
            id += 1;
            let mut session = database.connect().await;
            // The statement is read before, since settings decide what its own texts mean.
            execute(&mut session, &format!("PREPARE p AS {}", EVERY_VALUE.replace("ID", &id.to_string())))
                .await
                .unwrap();
            execute(&mut session, settings).await.unwrap();
            execute(&mut session, "EXECUTE p").await.unwrap_or_else(|error| panic!("{settings}: {error}"));
            session.close().await.unwrap();
        }
        assert_eq!(database.ask("SELECT string_agg(problem, '; ') FROM observer_inbox").await, None);
        let different = "SELECT string_agg(DISTINCT left(regexp_replace(data, '\"id\" : [0-9]+', ''), 6000), E'\\n') FROM observer_inbox WHERE data LIKE '%added%' = SLOW";
        let images = database.ask(&different.replace("SLOW", &slow.to_string())).await.unwrap();
        assert_eq!(images.lines().count(), 1, "{images}");
        assert_eq!(database.kinds().await.len(), if slow { 48 } else { 24 });
    }
    let image = database.images().await.remove(0);
    for (field, value) in [
        ("f", json!("-1 days -02:03:04")),
        ("e", json!("12:00:00+02")),
        ("j", json!("$1,234.50")),
        ("l", json!("public.t")),
        ("al", json!("ab")),
        ("am", json!(["ab"])),
        ("u", json!("[\"2026-01-01 00:00:00+00\",\"2026-01-02 00:00:00+00\")")),
        ("aa", json!(["2026-01-31T12:00:00+00:00", null])),
        ("af", json!(["sad", null])),
        ("ac", json!(["\\x00ff"])),
        ("ai", json!("2026-01-31")),
    ] {
        assert_eq!(image[field], value, "{field}");
    }
    assert_eq!(
        image["ag"].to_string(),
        r#"{"a":"2026-01-31T12:00:00+00:00","b":0.30000000000000004,"c":"1 day 01:00:00","d":"\\x00"}"#
    );
}

#[tokio::test]
async fn children_and_triggers_that_are_switched() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE child (extra TEXT, PRIMARY KEY (id)) INHERITS (t);
             CREATE TABLE grandchild (more TEXT) INHERITS (child);
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$",
        )
        .await;
    database.capture("t", "T").await;
    assert_eq!(database.drift().await, "");
    database.sql("INSERT INTO child VALUES (1, 1, 'x'); INSERT INTO grandchild VALUES (2, 2, 'x', 'y'); UPDATE t SET n = n + 1; DELETE FROM t").await;
    assert_eq!(
        database.kinds().await,
        ["created 1", "created 2", "updated 1", "updated 2", "deleted 1", "deleted 2"]
    );
    database.sql("CREATE TRIGGER z AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse(); INSERT INTO t VALUES (3, 3)").await;
    let error = database.try_sql("UPDATE t SET n = 4").await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
    assert_eq!(database.kinds().await.len(), 7, "the update is undone with its event");
    database.sql("SET session_replication_role = replica; INSERT INTO t VALUES (4, 4); RESET session_replication_role").await;
    assert_eq!(database.kinds().await.len(), 7);
    database
        .sql("ALTER TABLE t ENABLE ALWAYS TRIGGER \"!aftercommit_insert\"; SET session_replication_role = replica; INSERT INTO t VALUES (5, 5); RESET session_replication_role")
        .await;
    assert_eq!(database.kinds().await.pop().as_deref(), Some("created 5"));
    database.store.refresh_capture("t", at(0)).await.unwrap();
    let enabled = "SELECT tgenabled::text FROM pg_trigger WHERE tgname = '!aftercommit_insert' AND tgrelid = 't'::regclass";
    assert_eq!(database.ask(enabled).await.as_deref(), Some("A"));
    database.sql("ALTER TABLE t DISABLE TRIGGER USER; INSERT INTO t VALUES (6, 6)").await;
    assert!(database.drift().await.contains("is disabled"));
    assert_eq!(database.store.inbox_len().await.unwrap(), 8);
}
