//! Compiled conditions on the images that the product's own triggers write.

use aftercommit_condition::{
    Condition,
    sql::{Column, Columns, SqliteKind, compile},
};
use aftercommit_store::conformance::TestDatabase as _;
use rusqlite::Connection;
use serde_json::Value;

use crate::{
    compiled_conditions::{self, Answers, Kind, Seen},
    database::Database,
};

const NUMBERS: &[&str] =
    &["0", "1", "100", "100.00", "1e2", "-5", "0.1", "2.5", "123456789012345", "1e20", "1e-9"];
const TEXTS: &[&str] = &["'a'", "'A'", "'abc'", "'a*b'", "'é'", "''", "'it''s'", "'00FF'", "'1'"];
const PARTS: &[&str] =
    &["'a%'", "'%b'", "'_b_'", "'a*b'", "'%[%'", "'a\\%b'", "''", "'é'", "'a'", "'ab'", "'FF'"];

const KINDS: &[Kind] = &[
    Kind { columns: &["n", "m", "any"], literals: NUMBERS, parts: &[] },
    Kind { columns: &["name", "any", "odd.\"name\""], literals: TEXTS, parts: PARTS },
    Kind { columns: &["at", "any"], literals: compiled_conditions::TIMES, parts: &["'2026-02%'", "'2026'"] },
    Kind { columns: &["yes", "flag"], literals: &["TRUE", "FALSE", "1", "5"], parts: &[] },
    Kind { columns: &["doc"], literals: &["NULL"], parts: &[] },
];

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC, m INT, any, name TEXT COLLATE NOCASE, \
                     \"odd.\"\"name\"\"\" VARCHAR(9), at TEXT, yes BOOLEAN, flag BOOLTEXT, doc JSON)";

fn columns() -> Vec<Column<SqliteKind>> {
    let declared = [
        ("id", "INTEGER"),
        ("n", "NUMERIC"),
        ("m", "INT"),
        ("any", ""),
        ("name", "TEXT"),
        ("odd.\"name\"", "VARCHAR(9)"),
        ("at", "TEXT"),
        ("yes", "BOOLEAN"),
        ("flag", "BOOLTEXT"),
        ("doc", "JSON"),
    ];
    declared
        .into_iter()
        .map(|(name, declared)| Column { name: name.to_owned(), kind: SqliteKind::of_declared(declared) })
        .collect()
}

const TIMES: &[&str] = &[
    "'2026-02-01T00:00:00Z'",
    "'2026-02-01t03:00:00.000+03:00'",
    "NULL",
    "'2026-02-01'",
    "'2026-01-31T23:59:60Z'",
    "'2026-02-29T00:00:00Z'",
    "'2026-02-01 00:00:00z'",
    "'2026-02-01T00:00:60Z'",
    "'2026-02-01T00:00:00.00000010Z'",
    "'0000-01-01T00:00:00+23:59'",
    "'9999-12-31T23:59:59.50-00:01'",
    "'2026-02-01T00:00:00Z '",
    "'2026-13-01T00:00:00Z'",
    "'2026-02-01T00:00:00+24:00'",
    "'2026-02-01T24:00:00Z'",
    "'2026-02-01T00:00:00.Z'",
    "'2026-02-01T00:00:00'",
    "'2026-02-01T00:00:00é'",
    "'2026-02-01T00:59:60+01:00'",
    "'2026-02-01T00:00:00.5x5Z'",
    "'2000-02-29T00:00:00Z'",
    "'1900-02-29T00:00:00-00:01'",
];

const VALUES: &[&[&str]] = &[
    &[
        "0",
        "100",
        "100.0",
        "0.1",
        "-5",
        "NULL",
        "1e20",
        "9e999",
        "'a'",
        "x'00ff'",
        "2.5",
        "123456789012345",
        "-0.0",
        "-9e999",
    ],
    &[
        "0",
        "1",
        "100",
        "-5",
        "NULL",
        "9223372036854775807",
        "'abc'",
        "-9223372036854775808",
        "0.1",
        "1e300",
        "1e-9",
    ],
    &[
        "1",
        "'1'",
        "100.0",
        "'100'",
        "x'00ff'",
        "'00FF'",
        "NULL",
        "x''",
        "1.5",
        "'2026-02-01T00:00:00Z'",
        "0.1",
        "0.30000000000000004",
    ],
    &["'a'", "'A'", "'abc'", "'a*b'", "NULL", "''", "'a[b'", "'é'", "'Ab'", "5", "x'6162'", "'a%b'"],
    &["'a'", "NULL", "'z'", "'ab'", "''", "'it''s'"],
    TIMES,
    &["1", "0", "NULL", "TRUE", "5", "'a'", "0.5"],
    &["'1'", "'0'", "NULL", "'yes'", "1", "x'31'"],
    &["'{}'", "' null '", "NULL", "'no json'", "5", "9e999"],
];

const ROWS: usize = 46;

/// Fills the table; the images that its capture wrote.
async fn images(database: &Database) -> Vec<Value> {
    database.sql(TABLE).await;
    database.capture("t", "T").await;
    for row in 0..ROWS {
        let values: Vec<&str> = VALUES
            .iter()
            .enumerate()
            .map(|(column, values)| values[(row * (column % 3 + 1) + column) % values.len()])
            .collect();
        database.sql(&format!("INSERT INTO t VALUES ({row}, {})", values.join(", "))).await;
    }
    database.images().await
}

#[tokio::test]
async fn a_compiled_condition_says_what_the_evaluator_says() {
    let database = Database::fresh().await;
    let images = images(&database).await;
    assert_eq!(images.len(), ROWS);
    let connection = Connection::open(database.path()).unwrap();
    connection.execute_batch("PRAGMA trusted_schema = OFF").unwrap();
    let pairs = compiled_conditions::pairs(ROWS);
    let list: Vec<_> =
        pairs.iter().enumerate().map(|(at, (old, new))| format!("({at}, {old}, {new})")).collect();
    let from = format!(
        "(SELECT column1 AS place, column2 AS o, column3 AS n FROM (VALUES {})) AS pairs \
         JOIN t AS OLD ON OLD.id = pairs.o JOIN t AS NEW ON NEW.id = pairs.n ORDER BY pairs.place",
        list.join(", ")
    );
    let columns = columns();
    let seed = compiled_conditions::seed();
    let mut tally = Seen::default();
    for compiled in compiled_conditions::conditions(KINDS, Columns::Sqlite(&columns), 400, seed) {
        let (condition, query) =
            (&compiled.condition, compiled_conditions::query(&compiled.predicates, &from));
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Answers { created: row.get(0)?, updated: row.get(1)?, deleted: row.get(2)? })
        };
        let rows: Result<Vec<Answers>, _> =
            connection.prepare(&query).and_then(|mut statement| statement.query_map((), read)?.collect());
        let rows =
            rows.unwrap_or_else(|error| panic!("seed {seed}: {}\n{error}\n{query}", condition.source()));
        assert_eq!(rows.len(), pairs.len());
        for ((old, new), answers) in pairs.iter().zip(rows) {
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

/// As a trigger's WHEN, on the longest and the deepest conditions that there are.
#[tokio::test]
async fn the_longest_conditions_fit_a_trigger() {
    let database = Database::fresh().await;
    images(&database).await;
    let connection = Connection::open(database.path()).unwrap();
    connection.execute_batch("PRAGMA trusted_schema = OFF").unwrap();
    let columns = columns();
    let list: Vec<_> = (0..1500).map(|number| number.to_string()).collect();
    for (index, text) in [
        vec!["n = 1"; 300].join(" OR "),
        format!("m IN ({})", list.join(", ")),
        format!("{}any = 1{}", "(name = 'a' AND n = 2 OR NOT ".repeat(32), ")".repeat(32)),
        format!("{}any = 1", "NOT ".repeat(64)),
        "at > '2026-02-01T00:00:00Z' AND at < OLD.at AND CHANGED(at)".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let condition = Condition::parse(text).unwrap();
        let compiled = compile(&condition, Columns::Sqlite(&columns), &compiled_conditions::EVENT).unwrap();
        connection
            .execute_batch(&format!(
                "CREATE TRIGGER when_{index} AFTER UPDATE ON t WHEN {} BEGIN SELECT 1; END",
                compiled.updated
            ))
            .unwrap();
    }
    connection.execute_batch("UPDATE t SET any = 1").unwrap();
}

/// What functions of SQLite read of a text with U+0000 is not all of it.
#[tokio::test]
async fn texts_with_a_nul_are_whole_or_make_an_event() {
    let database = Database::fresh().await;
    database
        .sql(&format!("{TABLE}; INSERT INTO t (id, at) VALUES (1, '2026-02-01T00:00:00Z' || char(0) || 'x')"))
        .await;
    let connection = Connection::open(database.path()).unwrap();
    let columns = columns();
    for (text, passes) in [
        ("at = '2026-02-01T00:00:00Z'", false),
        ("at = '2026-02-01T01:00:00+01:00'", false),
        ("at STARTS_WITH '2026-02-01T00:00:00Z'", true),
        ("at ENDS_WITH 'Z'", false),
        ("at ENDS_WITH 'x'", true),
        ("at CONTAINS 'x'", true),
        // It does not, and GLOB could not say so.
        ("at LIKE '%Z'", true),
    ] {
        let condition = Condition::parse(text).unwrap();
        let compiled = compile(&condition, Columns::Sqlite(&columns), &compiled_conditions::EVENT).unwrap();
        let query = format!("SELECT {} FROM t AS NEW", compiled.created);
        assert_eq!(connection.query_row(&query, (), |row| row.get::<_, bool>(0)).unwrap(), passes, "{text}");
    }
}
