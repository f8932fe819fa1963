//! Compiled conditions on a real server.

use aftercommit_condition::{
    Condition,
    sql::{Column, Columns, PostgresKind, compile},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::{
    compiled_conditions::{self, Answers, Kind, Seen},
    database::{Database, execute},
};

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "100",
    "100.00",
    "1e2",
    "-5",
    "0.1",
    "0.10000000000000000001",
    "9007199254740993",
    "1e20",
    "1e300",
];
const TEXTS: &[&str] = &["'a'", "'A'", "'abc'", "'a%b'", "'é'", "''", "'it''s'", "'a\\b'", "'happy'"];
const PARTS: &[&str] = &["'a%'", "'%b'", "'_b_'", "'a\\%b'", "'%\\\\%'", "''", "'é'", "'a'", "'ab'", "'''s'"];

const KINDS: &[Kind] = &[
    Kind { columns: &["small", "big", "exact", "float", "single"], literals: NUMBERS, parts: &[] },
    Kind { columns: &["name", "code", "odd.\"name\"", "padded", "mood"], literals: TEXTS, parts: PARTS },
    Kind {
        columns: &["name", "day", "at", "zoned", "zoned2"],
        literals: compiled_conditions::TIMES,
        parts: &["'2026-02%'", "'2026'", "'%00'"],
    },
    Kind { columns: &["yes", "no"], literals: &["TRUE", "FALSE"], parts: &[] },
    Kind {
        columns: &["uid"],
        literals: &["'00000000-0000-0000-0000-00000000000a'", "'x'"],
        parts: &["'%a'"],
    },
    Kind { columns: &["doc", "bin", "list", "pair"], literals: &["NULL"], parts: &[] },
];

const TABLE: &str = r#"CREATE TYPE mood AS ENUM ('a', 'happy', '2026-02-01T00:00:00Z'); CREATE TYPE pair AS (a INTEGER, b TEXT);
    CREATE TABLE t (id INTEGER PRIMARY KEY, small SMALLINT, big BIGINT, exact NUMERIC, float DOUBLE PRECISION, single REAL,
        name TEXT, code VARCHAR(30), "odd.""name""" TEXT COLLATE "C", padded CHAR(6), mood mood, day DATE,
        at TIMESTAMP, zoned TIMESTAMPTZ, zoned2 TIMESTAMPTZ, yes BOOLEAN, no BOOLEAN, uid UUID, doc JSON, bin JSONB,
        list INTEGER[], pair pair)"#;

fn columns() -> Vec<Column<PostgresKind>> {
    use PostgresKind as K;
    [
        ("id", K::Integer),
        ("small", K::Integer),
        ("big", K::Integer),
        ("exact", K::Numeric),
        ("float", K::Float),
        ("single", K::Float),
        ("name", K::Text),
        ("code", K::Text),
        ("odd.\"name\"", K::Text),
        ("padded", K::Character),
        ("mood", K::Enum),
        ("day", K::Date),
        ("at", K::Timestamp),
        ("zoned", K::TimestampTz),
        ("zoned2", K::TimestampTz),
        ("yes", K::Boolean),
        ("no", K::Boolean),
        ("uid", K::Uuid),
        ("doc", K::Json),
        ("bin", K::Jsonb),
        ("list", K::Other),
        ("pair", K::Other),
    ]
    .into_iter()
    .map(|(name, kind)| Column { name: name.to_owned(), kind })
    .collect()
}

/// Values of each column in SQL, nulls among them; rows take them in steps of their own.
const VALUES: &[&[&str]] = &[
    &["0", "1", "100", "-5", "NULL", "2"],
    &["0", "100", "9007199254740993", "9007199254740992", "NULL", "-9223372036854775808", "1"],
    &["100", "100.00", "0.1", "0.10000000000000000001", "'NaN'", "NULL", "1e20", "'Infinity'", "-5"],
    &[
        "100",
        "0.1",
        "'NaN'",
        "'-Infinity'",
        "1e300",
        "NULL",
        "-0.0",
        "9007199254740993",
        "1e20",
        "100.00000000000001",
    ],
    &["100", "0.1", "'NaN'", "NULL", "1e20", "16777217", "-5"],
    &[
        "'a'",
        "'abc'",
        "'2026-02-01T00:00:00Z'",
        "'2026-02-01t03:00:00.000+03:00'",
        "NULL",
        "''",
        "'A'",
        "'a%b'",
        "'2026-01-31T23:59:60Z'",
        "'2026-02-29T00:00:00Z'",
        "'2026-02-01'",
        "'0000-01-01T00:00:00+23:59'",
        "'2026-02-01T00:00:00.00000010Z'",
        "'2026-02-01T00:00:00Z '",
        "'2026-02-01T00:00:60Z'",
        "E'2026-02-01T00:00:00Z\\n'",
    ],
    &[
        "'a'",
        "'é'",
        "'ab'",
        "'it''s'",
        "NULL",
        "'2026-02-01 00:00:00z'",
        "E'a\\\\b'",
        "'9999-12-31T23:59:59.50-00:01'",
        "'2026-01-31T23:00:00-01:00'",
        "'2026-13-01T00:00:00Z'",
        "'2026-02-01T00:00:00+24:00'",
    ],
    &["'a'", "'z'", "NULL", "'happy'", "'abc'"],
    &["'a'", "'abc'", "'a b'", "NULL", "''", "' a'"],
    &["'a'", "'happy'", "NULL", "'2026-02-01T00:00:00Z'"],
    &["'2026-02-01'", "'2025-12-31'", "NULL", "'infinity'", "'0044-03-15 BC'", "'12026-01-01'"],
    &[
        "'2026-02-01 00:00:00'",
        "'2026-02-01 00:00:00.000001'",
        "NULL",
        "'-infinity'",
        "'2026-01-31 23:59:59'",
    ],
    &[
        "'2026-02-01 00:00:00+00'",
        "'2026-02-01 00:00:00.000001+00'",
        "NULL",
        "'infinity'",
        "'0001-01-01 00:00:00+00'",
        "'0044-03-15 00:00:00+00 BC'",
        "'10000-01-01 00:00:00+00'",
        "'9999-12-31 23:59:59.999999+00'",
    ],
    &[
        "'2026-02-01 01:00:00+01'",
        "'2026-01-31 23:59:59.5+00'",
        "NULL",
        "'-infinity'",
        "'20260-01-01 00:00:00+00'",
    ],
    &["TRUE", "FALSE", "NULL"],
    &["FALSE", "NULL", "TRUE", "FALSE"],
    &["'00000000-0000-0000-0000-00000000000a'", "'00000000-0000-0000-0000-00000000000b'", "NULL"],
    &["'{}'", "' null '", "NULL", "'1'"],
    &["'{\"a\": 1}'", "'{\"a\": 1.0}'", "'null'", "NULL", "'[1]'", "'{\"a\": \"1\"}'"],
    &["'{1,2}'", "NULL", "'{}'"],
    &["ROW(NULL, NULL)::pair", "NULL", "ROW(1, 'x')::pair"],
];

const ROWS: usize = 44;

/// Fills the table, and reads its images as the trigger writes them.
async fn images(connection: &mut PgConnection) -> Vec<Value> {
    execute(connection, TABLE).await.unwrap();
    for row in 0..ROWS {
        let values: Vec<&str> = VALUES
            .iter()
            .enumerate()
            .map(|(column, values)| values[(row * (column % 5 + 1) + column) % values.len()])
            .collect();
        execute(connection, &format!("INSERT INTO t VALUES ({row}, {})", values.join(", "))).await.unwrap();
    }
    execute(connection, "SET TimeZone = 'UTC'").await.unwrap();
    let rows = sqlx::query("SELECT row_to_json(t)::text FROM t ORDER BY id")
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let mut image: Value = serde_json::from_str(row.get::<&str, _>(0)).unwrap();
            // Blanks at the end of a char(n) mean nothing.
            if let Value::String(padded) = &mut image["padded"] {
                padded.truncate(padded.trim_end_matches(' ').len());
            }
            image
        })
        .collect()
}

#[tokio::test]
async fn a_compiled_condition_says_what_the_evaluator_says() {
    let database = Database::fresh().await;
    let mut connection = database.connect().await;
    let images = images(&mut connection).await;
    let pairs = compiled_conditions::pairs(ROWS);
    let list: Vec<_> =
        pairs.iter().enumerate().map(|(at, (old, new))| format!("({at}, {old}, {new})")).collect();
    let from = format!(
        "(VALUES {}) AS pairs (place, o, n) JOIN public.t AS old ON old.id = pairs.o JOIN public.t AS new ON new.id = pairs.n \
         ORDER BY pairs.place",
        list.join(", ")
    );
    // As in the trigger's function, and with a setting that changes what texts in SQL mean.
    execute(
        &mut connection,
        "SET search_path = pg_catalog, pg_temp; SET standard_conforming_strings = off; SET jit = off",
    )
    .await
    .unwrap();
    let columns = columns();
    let seed = compiled_conditions::seed();
    let mut tally = Seen::default();
    for compiled in compiled_conditions::conditions(KINDS, Columns::Postgres(&columns), 400, seed) {
        let (condition, query) =
            (&compiled.condition, compiled_conditions::query(&compiled.predicates, &from));
        let rows = sqlx::raw_sql(AssertSqlSafe(query.as_str())).fetch_all(&mut connection).await;
        let rows =
            rows.unwrap_or_else(|error| panic!("seed {seed}: {}\n{error}\n{query}", condition.source()));
        assert_eq!(rows.len(), pairs.len());
        for ((old, new), row) in pairs.iter().zip(rows) {
            let answers = Answers {
                created: row.get("created"),
                updated: row.get("updated"),
                deleted: row.get("deleted"),
            };
            let expected = compiled_conditions::expected(condition, &images[*old], &images[*new], &mut tally);
            assert_eq!(
                answers,
                expected,
                "seed {seed}: {}\nold {}\nnew {}\n{:#?}",
                condition.source(),
                images[*old],
                images[*new],
                compiled.predicates
            );
        }
    }
    tally.check(100_000);
}

/// Whoever changes a row may have made functions and operators of the same names.
#[tokio::test]
async fn nothing_outside_of_pg_catalog_is_called() {
    let database = Database::fresh().await;
    let mut connection = database.connect().await;
    images(&mut connection).await;
    execute(
        &mut connection,
        "CREATE FUNCTION trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
         CREATE FUNCTION trap(numeric, numeric) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
         CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = trap);
         CREATE OPERATOR > (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = trap);
         CREATE FUNCTION strpos(text, text) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
         CREATE TYPE text AS (a INTEGER);
         SET search_path = public, pg_catalog",
    )
    .await
    .unwrap();
    assert!(
        execute(&mut connection, "SELECT strpos('a'::pg_catalog.text, 'a')")
            .await
            .unwrap_err()
            .contains("trapped")
    );
    let columns = columns();
    for text in [
        "exact > 5 OR code = 'x' OR name CONTAINS 'a' OR name = code OR zoned > '2026-02-01T00:00:00Z'",
        "name IN ('a', '2026-02-01T00:00:00Z') OR mood LIKE 'a%' OR CHANGED_TO(exact, 5) OR CHANGED(bin) OR doc IS NULL",
        "day < '2026-03-01' OR zoned = name OR list IS NULL OR uid ENDS_WITH 'a' OR EVENT.event_kind = code",
    ] {
        let condition = Condition::parse(text).unwrap();
        let compiled = compile(&condition, Columns::Postgres(&columns), &EVENT).unwrap();
        let query = compiled_conditions::query(&compiled, "public.t AS old, public.t AS new");
        execute(&mut connection, &query).await.unwrap_or_else(|error| panic!("{text}: {error}\n{query}"));
    }
}

const EVENT: aftercommit_condition::sql::EventSql<'static> = aftercommit_condition::sql::EventSql {
    new_entity_id: "NEW.id::pg_catalog.text",
    old_entity_id: "OLD.id::pg_catalog.text",
    occurred_at: "'2026-01-31T12:00:00.000000Z'::pg_catalog.text",
    actor: "'ada'::pg_catalog.text",
    tenant_id: "NULL::pg_catalog.text",
    traceparent: "NULL::pg_catalog.text",
    ..compiled_conditions::EVENT
};
