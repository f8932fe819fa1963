//! Conditions as SQL: what they look like, and what is refused. That they say the same is tested on the databases.

use aftercommit_condition::{
    Condition, Diagnostic,
    sql::{Column, Columns, EventSql, MAX_SQL_BYTES, PostgresKind, Predicates, SqliteKind, compile},
};

const EVENT: EventSql<'static> = EventSql {
    entity_type: "Order",
    new_entity_id: "new_id",
    old_entity_id: "old_id",
    occurred_at: "occurred_at",
    actor: "actor",
    tenant_id: "tenant",
    traceparent: "trace",
};

fn columns<K: Copy>(columns: &[(&str, K)]) -> Vec<Column<K>> {
    columns.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect()
}

fn postgres(text: &str) -> Result<Predicates, Diagnostic> {
    use PostgresKind as K;
    let columns = columns(&[
        ("id", K::Integer),
        ("status", K::Text),
        ("total", K::Numeric),
        ("active", K::Boolean),
        ("created_at", K::TimestampTz),
        ("payload", K::Json),
        ("details", K::Jsonb),
        ("tags", K::Other),
    ]);
    compile(&Condition::parse(text).expect(text), Columns::Postgres(&columns), &EVENT)
}

fn sqlite(text: &str) -> Result<Predicates, Diagnostic> {
    let columns = columns(&[
        ("status", SqliteKind::Plain),
        ("active", SqliteKind::Boolean),
        ("details", SqliteKind::Json),
    ]);
    compile(&Condition::parse(text).expect(text), Columns::Sqlite(&columns), &EVENT)
}

fn refused(compile: fn(&str) -> Result<Predicates, Diagnostic>, texts: &[&str]) -> String {
    let reports: Vec<_> = texts
        .iter()
        .map(|text| compile(text).expect_err(text).render(text, "capture of orders", false))
        .collect();
    reports.join("\n\n")
}

#[test]
fn what_postgresql_refuses() {
    let texts = [
        "stauts = 'paid'",
        "nothing_like_it = 'paid'",
        "NEW.details.customer = 'ada'",
        "HAS_FIELD(details.customer)",
        "payload = 'x'",
        "CHANGED(payload)",
        "CHANGED_TO(details, 'x')",
        "tags CONTAINS 'new'",
        "CHANGED(tags)",
        "id = '7'",
        "total > status",
        "id IN (1, active)",
        "active > active",
        "id LIKE '7%'",
        "created_at > 5",
        "CHANGED_TO(status, 5)",
        "OLD.status = 5",
        "status LIKE status",
        "total > 1e2000",
        "status = '\0'",
        "EVENT.actor = id",
    ];
    insta::assert_snapshot!(refused(postgres, &texts));
}

#[test]
fn what_sqlite_refuses() {
    let texts = [
        "stauts = 'paid'",
        "details.a = 1",
        "details = 'x'",
        "CHANGED(details)",
        "status > 0.1234567890123456",
    ];
    insta::assert_snapshot!(refused(sqlite, &texts));
}

#[test]
fn what_is_longer_than_a_trigger_should_be_is_refused() {
    let text = vec!["status = '2026-02-01T00:00:00Z'"; 200].join(" OR ");
    for diagnostic in [sqlite(&text).unwrap_err(), postgres(&text).unwrap_err()] {
        assert_eq!(diagnostic.message, format!("as SQL this condition has more than {MAX_SQL_BYTES} bytes"));
    }
}

#[test]
fn each_kind_of_change_has_its_own_rows() {
    let text = "CHANGED_TO(status, 'a') OR OLD.active = TRUE OR status IS NULL AND EVENT.entity_id = 'b'";
    let Predicates { created, updated, deleted } = postgres(text).unwrap();
    assert!(created.contains("NEW.") && !created.contains("OLD.") && created.contains("new_id"), "{created}");
    assert!(updated.contains("NEW.") && updated.contains("OLD.") && updated.contains("new_id"), "{updated}");
    assert!(!deleted.contains("NEW.") && deleted.contains("OLD.") && deleted.contains("old_id"), "{deleted}");
}

#[test]
fn plain_comparisons_stay_plain() {
    let created = |text| postgres(text).unwrap().created;
    assert_eq!(
        created("status != 'it''s' AND active = TRUE"),
        "((((NEW.\"status\"::pg_catalog.text COLLATE pg_catalog.\"C\") OPERATOR(pg_catalog.<>) 'it''s'::pg_catalog.text) \
         AND (NEW.\"active\" OPERATOR(pg_catalog.=) TRUE)) IS TRUE)"
    );
    assert_eq!(
        created("created_at >= '2026-02-01T01:00:00+01:00'"),
        "((CASE WHEN ((NEW.\"created_at\" OPERATOR(pg_catalog.>=) '0001-01-01 00:00:00+00'::pg_catalog.timestamptz) \
         AND (NEW.\"created_at\" OPERATOR(pg_catalog.<) '10000-01-01 00:00:00+00'::pg_catalog.timestamptz)) \
         THEN (NEW.\"created_at\" OPERATOR(pg_catalog.>=) '2026-02-01T00:00:00.000000Z'::pg_catalog.timestamptz) \
         ELSE (((pg_catalog.to_json(NEW.\"created_at\") OPERATOR(pg_catalog.#>>) '{}'::pg_catalog.text[]) \
         COLLATE pg_catalog.\"C\") OPERATOR(pg_catalog.>=) '2026-02-01T01:00:00+01:00'::pg_catalog.text) END) IS TRUE)"
    );
}
