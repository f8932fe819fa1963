//! A role that owns tables, types and functions, and tries to have a function of its own run as somebody else: the owner
//! of the functions that capture, or the host's role.

use std::{collections::BTreeMap, fmt::Write as _};

use aftercommit_core::EventKind;
use aftercommit_store::{
    BackfillRequest, Backfills as _, CaptureRequest, Captures as _, ChangeLogRequest, PostgresOptions,
    Selection, conformance::TestDatabase as _,
};
use sqlx::{Connection as _, PgConnection};

use crate::database::{CLUSTER, Database, at, execute};

/// The role, connected, with a schema `evil` that is first in its search path.
struct Attacker {
    database: Database,
    role: String,
    connection: PgConnection,
}

impl Attacker {
    async fn new() -> Self {
        let database = Database::fresh().await;
        let role = format!("attacker_of_{}", database.name);
        database.sql(&format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA evil AUTHORIZATION {role}")).await;
        let mut connection = PgConnection::connect(&CLUSTER.url_as(&role, &database.name)).await.unwrap();
        // A sequence keeps what it was given when its transaction or block is rolled back.
        let steal = format!(
            "SET search_path = evil, pg_catalog, public;
             CREATE SEQUENCE evil.loot;
             CREATE FUNCTION evil.steal() RETURNS void LANGUAGE plpgsql AS $$
             BEGIN
                 IF current_user OPERATOR(pg_catalog.<>) '{role}' THEN
                     PERFORM pg_catalog.nextval('evil.loot');
                     BEGIN
                         ALTER ROLE {role} SUPERUSER;
                     EXCEPTION WHEN OTHERS THEN
                         NULL;
                     END;
                 END IF;
             END $$"
        );
        execute(&mut connection, &steal).await.unwrap();
        Self { database, role, connection }
    }

    /// Runs statements with the role's own rights.
    async fn run(&mut self, statements: &str) {
        if let Err(error) = self.try_run(statements).await {
            panic!("{error}\n{}", statements.get(..400).unwrap_or(statements));
        }
    }

    async fn try_run(&mut self, statements: &str) -> Result<(), String> {
        execute(&mut self.connection, statements).await
    }

    async fn capture(&self, table: &str) {
        self.database.capture(table, "T").await;
    }

    async fn assert_nothing_gained(&self) {
        let gained = format!(
            "SELECT (SELECT is_called FROM evil.loot) OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = '{}')",
            self.role
        );
        assert_eq!(self.database.ask(&gained).await.as_deref(), Some("f"), "a function ran as somebody else");
    }
}

/// The traps work: without this, none of the other tests would fail.
#[tokio::test]
async fn a_function_that_runs_as_somebody_else_is_noticed() {
    let mut attacker = Attacker::new().await;
    attacker.run("SELECT evil.steal()").await;
    attacker.assert_nothing_gained().await;
    attacker.database.sql("BEGIN; SELECT evil.steal(); ROLLBACK").await;
    let gained = attacker.database.ask("SELECT is_called FROM evil.loot").await;
    assert_eq!(gained.as_deref(), Some("t"));
}

/// A function of that name that takes these types, returns such a value and notices who runs it.
fn trap(name: &str, takes: &str, returns: &str, value: &str) -> String {
    format!(
        "CREATE FUNCTION {name}({takes}) RETURNS {returns} LANGUAGE plpgsql AS
         $$ BEGIN PERFORM evil.steal(); RETURN {value}; END $$;\n"
    )
}

/// Casts to whatever a trigger might want of a value.
fn casts(from: &str) -> String {
    let mut sql = String::new();
    for (n, (to, value)) in [
        ("pg_catalog.text", "'x'"),
        ("pg_catalog.json", "'{\"a\": 1}'"),
        ("pg_catalog.jsonb", "'{\"a\": 1}'"),
        ("pg_catalog.int4", "1"),
        ("pg_catalog.int8", "1"),
        ("pg_catalog.numeric", "1"),
        ("pg_catalog.bool", "true"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("evil.cast_{}_{n}", from.rsplit('.').next().unwrap());
        sql.push_str(&trap(&name, from, to, value));
        let _ = writeln!(sql, "CREATE CAST ({from} AS {to}) WITH FUNCTION {name}({from}) AS IMPLICIT;");
    }
    sql
}

#[tokio::test]
async fn casts_of_own_types_do_not_run() {
    let mut attacker = Attacker::new().await;
    attacker.run("CREATE TYPE evil.mood AS ENUM ('sad', 'glad'); CREATE TYPE evil.pair AS (a INTEGER, m evil.mood)").await;
    attacker
        .run("CREATE TYPE evil.span AS RANGE (subtype = evil.mood); CREATE DOMAIN evil.feeling AS evil.mood")
        .await;
    for kind in ["evil.mood", "evil.pair", "evil.span"] {
        attacker.run(&casts(kind)).await;
    }
    attacker
        .run(
            "CREATE TABLE evil.t (m evil.mood, id INTEGER, ms evil.mood[], p evil.pair, ps evil.pair[], s evil.span,
                 f evil.feeling, fs evil.feeling[], PRIMARY KEY (id, m, f))",
        )
        .await;
    let request = CaptureRequest {
        condition: Some("m = 'sad' OR f = 'sad' OR id > 0".into()),
        ..CaptureRequest::new("evil.t", "T")
    };
    attacker.database.store.add_capture(request, at(0)).await.unwrap();
    attacker
        .run(
            "INSERT INTO evil.t VALUES ('sad', 1, '{sad,NULL}', '(1,glad)', '{\"(2,sad)\"}', '[sad,glad]', 'sad', '{glad}');
             UPDATE evil.t SET p = '(2,sad)'; UPDATE evil.t SET m = 'glad'; DELETE FROM evil.t",
        )
        .await;
    attacker.assert_nothing_gained().await;
    let ids = [
        "created 1:sad:sad",
        "updated 1:sad:sad",
        "deleted 1:sad:sad",
        "created 1:glad:sad",
        "deleted 1:glad:sad",
    ];
    assert_eq!(attacker.database.kinds().await, ids);
    let image = r#"{"m":"sad","id":1,"ms":["sad",null],"p":{"a":1,"m":"glad"},"ps":["(2,sad)"],"s":"[sad,glad]","f":"sad","fs":["glad"]}"#;
    assert_eq!(attacker.database.images().await[0].to_string(), image);
}

/// What was captured as a number or a text becomes a type with casts of its own.
#[tokio::test]
async fn casts_of_types_that_a_column_gets_later_do_not_run() {
    for kind in ["ENUM ('1')", "(a INTEGER)", "RANGE (subtype = pg_catalog.int4)"] {
        let mut attacker = Attacker::new().await;
        attacker
            .run("CREATE TABLE evil.t (id INTEGER PRIMARY KEY, n INTEGER, x TEXT, y NUMERIC, z JSONB)")
            .await;
        let request = CaptureRequest {
            condition: Some("n > 0 OR x = 'a' OR y > 0 OR id > 0".into()),
            ..CaptureRequest::new("evil.t", "T")
        };
        attacker.database.store.add_capture(request, at(0)).await.unwrap();
        attacker.run("INSERT INTO evil.t VALUES (1)").await;
        attacker.run(&format!("CREATE TYPE evil.other AS {kind}")).await;
        attacker.run(&casts("evil.other")).await;
        for column in ["n", "x", "y", "z"] {
            attacker.run(&format!("ALTER TABLE evil.t ALTER {column} TYPE evil.other USING NULL")).await;
        }
        let value = if kind.starts_with("ENUM") {
            "1"
        } else if kind.starts_with('(') {
            "(1)"
        } else {
            "[1,2)"
        };
        attacker
            .run(&format!(
                "INSERT INTO evil.t VALUES (2, '{value}', '{value}', '{value}', '{value}');
                 UPDATE evil.t SET n = NULL WHERE id = 2; UPDATE evil.t SET id = 3 WHERE id = 2; DELETE FROM evil.t WHERE id = 3"
            ))
            .await;
        attacker.assert_nothing_gained().await;
        assert_eq!(attacker.database.kinds().await.len(), 6);
    }
}

/// The name of a domain is given to another type, of which the trigger's casts mean something else.
#[tokio::test]
async fn a_type_with_the_name_of_another_is_another() {
    for (base, kind, value) in [
        ("TEXT", "TYPE evil.d AS ENUM ('x')", "x"),
        ("TEXT", "TYPE evil.d AS (a INTEGER)", "(1)"),
        ("INTEGER", "TYPE evil.d AS ENUM ('1')", "1"),
        ("JSONB", "TYPE evil.d AS (a INTEGER)", "(1)"),
        ("NUMERIC", "TYPE evil.d AS ENUM ('1')", "1"),
        ("BOOLEAN", "TYPE evil.d AS ENUM ('1')", "1"),
        ("evil.mood[]", "TYPE evil.d AS ENUM ('1')", "1"),
    ] {
        let mut attacker = Attacker::new().await;
        attacker.run(&format!("CREATE TYPE evil.mood AS ENUM ('sad'); CREATE DOMAIN evil.d AS {base}")).await;
        attacker.run("CREATE TABLE evil.t (id INTEGER PRIMARY KEY, d evil.d, k evil.d)").await;
        attacker.run("CREATE TABLE evil.u (id INTEGER PRIMARY KEY, d evil.d)").await;
        attacker.capture("evil.t").await;
        let request = CaptureRequest {
            key: vec!["id".into(), "d".into()],
            condition: Some("d IS NOT NULL OR id = 0".into()),
            ..CaptureRequest::new("evil.u", "U")
        };
        attacker.database.store.add_capture(request, at(0)).await.unwrap();
        attacker
            .run("ALTER TABLE evil.t DROP d, DROP k; ALTER TABLE evil.u DROP d; DROP DOMAIN evil.d")
            .await;
        attacker.run(&format!("CREATE {kind}; {}", casts("evil.d"))).await;
        attacker.run("ALTER TABLE evil.t ADD d evil.d, ADD k evil.d; ALTER TABLE evil.u ADD d evil.d").await;
        attacker
            .run(&format!(
                "INSERT INTO evil.t VALUES (1, '{value}', '{value}'); UPDATE evil.t SET d = NULL; DELETE FROM evil.t;
                 INSERT INTO evil.u VALUES (1, '{value}'); UPDATE evil.u SET id = 2; DELETE FROM evil.u"
            ))
            .await;
        attacker.assert_nothing_gained().await;
    }
}

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

/// Nothing locks a composite type: a field can get another type between the comparison of types and the reading of values.
#[tokio::test]
async fn casts_of_a_field_that_changes_at_the_wrong_moment_do_not_run() {
    let mut attacker = Attacker::new().await;
    let kinds = [
        "INTEGER",
        "TEXT",
        "CHAR(3)",
        "JSONB",
        "BOOLEAN",
        "TIMESTAMPTZ",
        "BYTEA",
        "NUMERIC",
        "INTEGER[]",
        "CHAR(3)[]",
        "evil.d",
        "evil.d[]",
        "DATE",
    ];
    let fields: Vec<_> = kinds.iter().enumerate().map(|(n, kind)| format!("f{n} {kind}")).collect();
    attacker
        .run(&format!("CREATE DOMAIN evil.d AS INTEGER; CREATE TYPE evil.pair AS ({})", fields.join(", ")))
        .await;
    attacker.run("CREATE TABLE evil.t (id INTEGER, p evil.pair, PRIMARY KEY (id, p))").await;
    let values = r#"1, 'a', 'b', '{"a": 1}', true, '2026-01-31 12:00+02', '\x00ff', 1.50, '{1}', '{c}', 2, '{3}', '2026-01-31'"#;
    attacker.run(&format!("INSERT INTO evil.t VALUES (1, ROW({values}))")).await;
    let mut expressions = Vec::new();
    for (n, kind) in kinds.iter().enumerate() {
        let expression = format!(
            "SELECT observer_value('{kind}'::regtype, observer_part('{kind}'::regtype, '(new.p).f{n}'))"
        );
        expressions.push(attacker.database.ask(&expression).await.unwrap());
    }
    let safely = "SET search_path = pg_catalog, pg_temp; SET timezone = 'UTC'";
    attacker.database.sql(safely).await;
    let values: Vec<_> = expressions.iter().map(|expression| format!("to_json({expression})")).collect();
    let whole = format!("SELECT concat_ws(',', {}) FROM evil.t AS new", values.join(", "));
    let image =
        r#"1,"a","b",{"a": 1},true,"2026-01-31T10:00:00+00:00","\\x00ff",1.50,[1],["c"],2,[3],"2026-01-31""#;
    assert_eq!(attacker.database.ask(&whole).await.as_deref(), Some(image));
    attacker.run("CREATE TYPE evil.mood AS ENUM ('sad')").await;
    attacker.run(&casts("evil.mood")).await;
    for n in 0..kinds.len() {
        attacker
            .run(&format!(
                "ALTER TYPE evil.pair DROP ATTRIBUTE f{n}; ALTER TYPE evil.pair ADD ATTRIBUTE f{n} evil.mood"
            ))
            .await;
    }
    let moods = vec!["'sad'"; kinds.len()].join(", ");
    attacker.run(&format!("DELETE FROM evil.t; INSERT INTO evil.t VALUES (2, ROW({moods}))")).await;
    for expression in &expressions {
        // Most fail, since `sad` is no number.
        attacker.database.try_sql(&format!("SELECT {expression} FROM evil.t AS new")).await.ok();
    }
    attacker.assert_nothing_gained().await;
}

/// Better matches than PostgreSQL's own for what a generated function calls.
fn shadows(schema: &str) -> String {
    let mut sql = String::new();
    for (name, takes, returns, value) in [
        ("concat", "text, text, text", "text", "'{}'"),
        ("concat", "evil.mood", "text", "'x'"),
        ("to_json", "text", "json", "'1'"),
        ("to_json", "evil.mood", "json", "'1'"),
        ("to_json", "timestamp", "json", "'1'"),
        ("pg_notify", "text, text", "text", "NULL"),
        ("pg_typeof", "evil.mood", "regtype", "NULL"),
        ("pg_typeof", "int4", "regtype", "NULL"),
        ("num_nulls", "evil.mood", "int4", "0"),
        ("octet_length", "text", "int4", "1"),
        ("pg_column_size", "evil.mood", "int4", "1"),
        ("left", "text, int4", "text", "'x'"),
        ("format", "text, text", "text", "'x'"),
        ("replace", "text, text, text", "text", "'x'"),
        ("nextval", "regclass", "int8", "1"),
        ("current_setting", "text, bool", "text", "'x'"),
        ("set_config", "text, text, bool", "text", "'x'"),
        ("clock_timestamp", "", "timestamptz", "NULL"),
        ("pg_trigger_depth", "", "int4", "1"),
        ("timezone", "interval, timestamptz", "timestamp", "NULL"),
        ("timezone", "text, timestamptz", "timestamp", "NULL"),
        ("isfinite", "timestamptz", "bool", "true"),
        ("rtrim", "text, text", "text", "'x'"),
        ("encode", "bytea, text", "text", "'x'"),
        ("json_each_text", "json", "text", "'x'"),
        ("lower", "text", "text", "'x'"),
        ("length", "text", "int4", "1"),
        ("int8larger", "int8, int8", "int8", "1"),
        ("quote_ident", "text", "text", "'x'"),
        ("hashtext", "text", "int4", "1"),
        ("string_to_array", "text, text", "text[]", "NULL"),
        // Ours, for this table.
        ("observer_image", "evil.t, oid, text[]", "text", "'{}'"),
        ("observer_key", "evil.t, oid, text[]", "text", "'1'"),
        ("observer_field", "evil.t, oid, text[]", "text", "'1'"),
        ("observer_image", "evil.log, oid, text[]", "text", "'{}'"),
        ("observer_key", "evil.log, oid, text[]", "text", "'1'"),
        ("observer_field", "evil.log, oid, text[]", "text", "'{}'"),
    ] {
        sql.push_str(&trap(&format!("{schema}.{name}"), takes, returns, value));
    }
    for (n, (name, left, right, returns, value)) in [
        ("=", "text", "text", "bool", "true"),
        ("<>", "text", "text", "bool", "true"),
        ("=", "regtype", "regtype", "bool", "true"),
        ("=", "oid", "oid", "bool", "true"),
        ("=", "int4", "int4", "bool", "true"),
        ("=", "numeric", "numeric", "bool", "true"),
        ("=", "jsonb", "jsonb", "bool", "true"),
        ("=", "evil.mood", "evil.mood", "bool", "true"),
        ("||", "text", "text", "text", "'x'"),
        ("<", "timestamptz", "timestamptz", "bool", "true"),
        ("<", "int4", "int4", "bool", "true"),
        (">", "int4", "int4", "bool", "true"),
        (">", "numeric", "numeric", "bool", "true"),
        ("+", "int4", "int4", "int4", "1"),
        ("+", "int8", "int8", "int8", "1"),
        ("|", "int8", "int8", "int8", "1"),
        ("->", "json", "text", "json", "'1'"),
        ("->>", "json", "text", "text", "'1'"),
        ("#>>", "json", "text[]", "text", "'1'"),
        ("~", "text", "text", "bool", "true"),
    ]
    .into_iter()
    .enumerate()
    {
        sql.push_str(&trap(&format!("{schema}.op_{n}"), &format!("{left}, {right}"), returns, value));
        let _ = writeln!(
            sql,
            "CREATE OPERATOR {schema}.{name} (FUNCTION = {schema}.op_{n}, LEFTARG = {left}, RIGHTARG = {right});"
        );
    }
    sql
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

#[tokio::test]
async fn policies_do_not_run() {
    let mut attacker = Attacker::new().await;
    attacker.run(&trap("evil.fits", "int4", "bool", "true")).await;
    attacker
        .run(
            "CREATE TABLE evil.t (id INTEGER PRIMARY KEY); INSERT INTO evil.t VALUES (1);
             ALTER TABLE evil.t ENABLE ROW LEVEL SECURITY; ALTER TABLE evil.t FORCE ROW LEVEL SECURITY;
             CREATE POLICY p ON evil.t USING (evil.fits(id)) WITH CHECK (evil.fits(id))",
        )
        .await;
    attacker.capture("evil.t").await;
    attacker.run("INSERT INTO evil.t VALUES (2); UPDATE evil.t SET id = 3 WHERE id = 2").await;
    // A superuser's backfill ignores policies; that of another role is refused.
    backfill(&attacker.database, "evil.t").await.unwrap();
    let host = format!("host_of_{}", attacker.database.name);
    attacker
        .database
        .sql(&format!(
            "CREATE ROLE {host} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {host}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {host};
             GRANT ALL ON evil.t TO {host}; GRANT USAGE ON SCHEMA evil TO {host}; UPDATE observer_backfills SET finished_at = NULL, last_key = NULL"
        ))
        .await;
    let url = CLUSTER.url_as(&host, &attacker.database.name);
    let store = aftercommit_store::PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    let error = store.backfill_page("evil.t", 10, at(1)).await.unwrap_err().to_string();
    assert!(error.contains("row-level security"), "{error}");
    store.close().await;
    attacker.assert_nothing_gained().await;
}

async fn backfill(database: &Database, table: &str) -> aftercommit_store::Result<u64> {
    let request =
        BackfillRequest { table: table.into(), condition: None, kind: EventKind::Created, restart: false };
    database.store.start_backfill(request, at(0)).await?;
    Ok(database.store.backfill_page(table, 100, at(0)).await?.events)
}

#[tokio::test]
async fn a_view_in_the_place_of_a_table_is_not_read() {
    let mut attacker = Attacker::new().await;
    attacker.run("CREATE TABLE evil.t (id INTEGER PRIMARY KEY)").await;
    attacker.capture("evil.t").await;
    attacker.run("INSERT INTO evil.t VALUES (1); ALTER TABLE evil.t RENAME TO u").await;
    attacker.run(&trap("evil.rows", "", "int4", "1")).await;
    attacker.run("CREATE VIEW evil.t AS SELECT evil.rows() AS id").await;
    let error = backfill(&attacker.database, "evil.t").await.unwrap_err().to_string();
    assert!(error.contains("is gone"), "{error}");
    // The same while a backfill goes on.
    attacker.run("DROP VIEW evil.t; ALTER TABLE evil.u RENAME TO t").await;
    assert_eq!(backfill(&attacker.database, "evil.t").await.unwrap(), 1);
    attacker.database.sql("UPDATE observer_backfills SET finished_at = NULL, last_key = NULL").await;
    attacker.run("ALTER TABLE evil.t RENAME TO u; CREATE VIEW evil.t AS SELECT evil.rows() AS id").await;
    let error = attacker.database.store.backfill_page("evil.t", 10, at(1)).await.unwrap_err().to_string();
    assert!(error.contains("is gone"), "{error}");
    attacker.assert_nothing_gained().await;
}

/// Own types and tables of the same names in a backfill.
#[tokio::test]
async fn a_backfill_runs_nothing_of_a_table() {
    let mut attacker = Attacker::new().await;
    attacker.run("CREATE TYPE evil.mood AS ENUM ('sad', 'glad'); CREATE DOMAIN evil.d AS TEXT").await;
    attacker.run(&trap("evil.fits", "anyelement", "bool", "true")).await;
    attacker.run("CREATE TABLE evil.t (id INTEGER, m evil.mood, d evil.d, PRIMARY KEY (m, d)); INSERT INTO evil.t SELECT n, 'sad', n FROM generate_series(1, 9) AS n").await;
    attacker.run("CREATE TABLE evil.log (x INTEGER); ALTER DOMAIN evil.d ADD CHECK (evil.fits(VALUE))").await;
    // With implicit casts there is no one operator that compares two of them.
    attacker.run(&casts("evil.mood").replace("IMPLICIT", "ASSIGNMENT")).await;
    attacker.run(&shadows("evil")).await;
    attacker.capture("evil.t").await;
    backfill(&attacker.database, "evil.t").await.unwrap();
    attacker.database.sql("UPDATE observer_backfills SET finished_at = NULL, last_key = NULL").await;
    while attacker.database.store.backfill_page("evil.t", 2, at(1)).await.unwrap().finished_at.is_none() {}
    attacker.assert_nothing_gained().await;
    assert_eq!(attacker.database.kinds().await.len(), 18);
}

#[tokio::test]
async fn temporary_tables_and_settings_forge_nothing() {
    let mut attacker = Attacker::new().await;
    attacker
        .run(
            "CREATE TEMP TABLE observer_inbox (x INTEGER); CREATE TEMP TABLE observer_events (x INTEGER);
             CREATE TEMP SEQUENCE observer_events_seq; SET search_path = pg_temp, evil;
             CREATE TABLE evil.t (id INTEGER PRIMARY KEY DEFERRABLE, n INTEGER, up INTEGER)",
        )
        .await;
    attacker.database.sql("CREATE TABLE other (id INTEGER PRIMARY KEY DEFERRABLE)").await;
    attacker.capture("evil.t").await;
    attacker.database.capture("other", "Other").await;
    attacker
        .run("CREATE FUNCTION evil.noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
        .await;
    attacker.run("CREATE TRIGGER z AFTER INSERT ON evil.t FOR EACH ROW EXECUTE FUNCTION evil.noop()").await;
    attacker.database.store.refresh_capture("evil.t", at(0)).await.unwrap();
    let huge = "x".repeat(1 << 20);
    let mut id = 0;
    for value in [
        "garbage",
        ":",
        "::",
        ":-1:-1",
        ":1:1",
        ":999999999999999999:999999999999999999",
        ":99999999999999999999999:1",
        ":1:x",
        ":0:0",
        "0.0:0:0",
        huge.as_str(),
    ] {
        for setting in ["statement_0", "statement_1", "statement_2", "moved"] {
            attacker.run(&format!("SET aftercommit.{setting} = '{value}'")).await;
        }
        id += 10;
        attacker
            .run(&format!(
                "INSERT INTO evil.t VALUES ({id}, 1), ({id} + 1, 2); UPDATE evil.t SET id = id + 1 WHERE id >= {id};
                 UPDATE evil.t SET n = n + 1 WHERE id = {id} + 1"
            ))
            .await;
        attacker
            .database
            .sql(&format!("INSERT INTO other VALUES ({id}); UPDATE other SET id = id + 1 WHERE id = {id}"))
            .await;
    }
    attacker.assert_nothing_gained().await;
    let events = attacker.database.events().await;
    assert_eq!(events.len(), 11 * 10);
    let now = aftercommit_core::Timestamp::from_micros(i64::MAX / 4);
    assert!(events.iter().all(|event| event.occurred_at < now));
    let others: Vec<_> = events
        .iter()
        .filter(|event| event.entity_type == "Other")
        .map(|event| event.event_kind.as_str())
        .collect();
    assert_eq!(others, ["created", "deleted", "created"].repeat(11));
    attacker.database.settle().await;
    assert_eq!(attacker.database.events().await.len(), 11 * 10);
}

#[tokio::test]
async fn our_schema_is_closed() {
    let mut attacker = Attacker::new().await;
    attacker.database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    attacker.run("CREATE TABLE evil.t (id INTEGER PRIMARY KEY)").await;
    attacker.capture("evil.t").await;
    for (statement, refusal) in [
        ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "permission denied for schema"),
        ("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION evil.e()", "permission denied"),
        ("INSERT INTO public.observer_inbox (seq) VALUES (1)", "permission denied"),
        ("SELECT nextval('public.observer_events_seq')", "permission denied"),
        ("DO $$ BEGIN EXECUTE (SELECT format('CREATE TRIGGER x AFTER INSERT ON evil.t FOR EACH ROW EXECUTE FUNCTION public.%I()', proname)
              FROM pg_proc WHERE proname LIKE 'observer_capture_evil_t%_insert'); END $$", "permission denied for function"),
        ("CREATE TRIGGER x BEFORE INSERT ON public.observer_inbox FOR EACH ROW EXECUTE FUNCTION evil.e()", "permission denied"),
    ] {
        attacker.try_run("CREATE FUNCTION evil.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'").await.ok();
        let error = attacker.try_run(statement).await.unwrap_err();
        assert!(error.contains(refusal), "{statement}: {error}");
    }
    attacker.assert_nothing_gained().await;
}
