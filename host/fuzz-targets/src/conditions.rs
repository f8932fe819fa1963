//! The condition language and its numbers. What is not UTF-8 cannot get there.

use aftercommit_condition::{
    Condition, Row,
    sql::{Column, Columns, EventSql, MAX_SQL_BYTES, PostgresKind, SqliteKind, compile},
};
use aftercommit_core::{EntityEvent, number::compare};

/// Any text is a condition that prints and reads back as itself, or gets a diagnostic that can be shown.
pub fn parse(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match Condition::parse(text) {
        Ok(condition) => {
            let printed = condition.to_string();
            // Printing may add spaces and quotes, and so pass the limit on length.
            if let Ok(again) = Condition::parse(&printed) {
                assert_eq!(again.to_string(), printed);
            } else {
                assert!(printed.len() > text.len(), "{printed}");
            }
        }
        Err(diagnostic) => {
            assert!(text.get(diagnostic.span.range()).is_some());
            assert!(!diagnostic.render(text, "fuzz", false).is_empty());
        }
    }
}

/// Any condition on any row gives an answer or an error that can be shown: the first line is the condition, the rest
/// the event as JSON.
pub fn evaluate(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Some((condition, event)) = text.split_once('\n') else { return };
    let Ok(condition) = Condition::parse(condition) else { return };
    let Ok(event) = serde_json::from_str::<EntityEvent>(event) else { return };
    let row = Row::from(&event);
    let answer = condition.evaluate(&row);
    assert_eq!(answer, condition.evaluate(&row));
    if let Err(error) = answer {
        assert!(!error.diagnostic().render(condition.source(), "fuzz", false).is_empty());
    }
}

/// Any condition is SQL of a bounded size for the triggers of either database, or gets a diagnostic that can be shown.
pub fn compile_to_sql(input: &[u8]) {
    const EVENT: EventSql<'static> = EventSql {
        entity_type: "Order",
        new_entity_id: "new_id",
        old_entity_id: "old_id",
        occurred_at: "occurred_at",
        actor: "actor",
        tenant_id: "tenant",
        traceparent: "trace",
    };
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(condition) = Condition::parse(text) else { return };
    let postgres = [
        Column { name: "status".to_owned(), kind: PostgresKind::Text },
        Column { name: "total".to_owned(), kind: PostgresKind::Numeric },
        Column { name: "paid".to_owned(), kind: PostgresKind::Boolean },
        Column { name: "customer".to_owned(), kind: PostgresKind::Jsonb },
    ];
    let sqlite = [
        Column { name: "status".to_owned(), kind: SqliteKind::Plain },
        Column { name: "total".to_owned(), kind: SqliteKind::Plain },
        Column { name: "paid".to_owned(), kind: SqliteKind::Boolean },
        Column { name: "customer".to_owned(), kind: SqliteKind::Json },
    ];
    for columns in [Columns::Postgres(&postgres), Columns::Sqlite(&sqlite)] {
        match compile(&condition, columns, &EVENT) {
            Ok(predicates) => {
                for sql in [&predicates.created, &predicates.updated, &predicates.deleted] {
                    assert!(sql.len() <= MAX_SQL_BYTES, "{} bytes", sql.len());
                }
            }
            Err(diagnostic) => assert!(!diagnostic.render(text, "fuzz", false).is_empty()),
        }
    }
}

/// Any two texts have an order, the same from both sides.
pub fn number(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Some((left, right)) = text.split_once(' ') else { return };
    assert_eq!(compare(left, right), compare(right, left).reverse());
    assert!(compare(left, left).is_eq());
}
