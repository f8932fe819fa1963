//! Casts of own types, and own types in the place of others.

use aftercommit_store::{CaptureRequest, Captures as _, conformance::TestDatabase as _};

use super::{Attacker, casts};
use crate::database::at;

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
