//! A role that owns tables, types and functions, and tries to have a function of its own run as somebody else: the owner
//! of the functions that capture, or the host's role. A file for each way in.

mod backfills;
mod casts;
mod forgery;
mod functions;

use std::fmt::Write as _;

use aftercommit_store::conformance::TestDatabase as _;
use sqlx::{Connection as _, PgConnection};

use crate::database::{CLUSTER, Database, execute};

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

/// Better matches than PostgreSQL's own for what a generated function calls.
fn shadows(schema: &str) -> String {
    let mut sql = String::new();
    for (name, takes, returns, value) in [
        ("concat", "text, text, text", "text", "'{}'"),
        ("concat", "evil.mood", "text", "'x'"),
        ("to_json", "text", "json", "'1'"),
        ("to_json", "evil.mood", "json", "'1'"),
        ("to_json", "timestamp", "json", "'1'"),
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
        ("pg_sequence_last_value", "regclass", "int8", "1"),
        ("date_part", "text, timestamptz", "float8", "1"),
        ("pg_notify", "text, text", "text", "NULL"),
        ("make_interval", "int4, int4, int4, int4, int4, int4, float8", "interval", "NULL"),
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
