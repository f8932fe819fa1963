//! Rows that somebody wrote by SQL: one that cannot be read holds up no other.

use aftercommit_core::ObserverDefinition;
use aftercommit_store::{
    CaptureRequest, Captures as _, DeadLetters as _, Definitions as _, Holds as _,
    conformance::TestDatabase as _,
};

use crate::database::{Database, at};

#[tokio::test]
async fn an_observer_with_any_odd_column_has_an_error_and_the_others_go_on() {
    let database = Database::fresh().await;
    let both = vec![ObserverDefinition::new("odd"), ObserverDefinition::new("sound")];
    let odd = [
        "priority = -1",
        "priority = 70000",
        "alert_interval_secs = -1",
        "on_failure = 'never'",
        "ordering = ''",
        "event_kind = 'x'",
        "retry = '7'",
        "actions = '{}'",
        "alert = '[]'",
    ];
    let mut taken = 0;
    for change in odd {
        database.store.apply(both.clone(), true, false, at(0)).await.unwrap();
        // The table refuses some of them; those that it takes are the row's problem.
        if database.try_sql(&format!("UPDATE tb_observer SET {change} WHERE name = 'odd'")).await.is_err() {
            continue;
        }
        taken += 1;
        let rows = database.store.load().await.unwrap().rows;
        let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!(row("sound").definition, Ok(ObserverDefinition::new("sound")), "{change}");
        assert!(row("odd").definition.is_err(), "{change}");
    }
    assert!(taken > 0, "the table takes an odd row");
}

#[tokio::test]
async fn lists_pass_over_rows_that_cannot_be_read() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE bills (id int PRIMARY KEY)").await;
    for (table, entity) in [("orders", "Order"), ("bills", "Bill")] {
        database.store.add_capture(CaptureRequest::new(table, entity), at(0)).await.unwrap();
    }
    database
        .sql(
            "UPDATE observer_captures SET selection = '7' WHERE table_name = 'bills';
             INSERT INTO observer_destinations VALUES
                 ('destination', 'odd', '', 'open', 'c', 'm', NULL, now(), NULL, -1, '[]', NULL, NULL),
                 ('destination', 'lanes', '', 'open', 'c', 'm', 99999, now(), NULL, 0, '{}', NULL, NULL),
                 ('destination', 'sound', '', 'open', 'c', 'm', NULL, now(), NULL, 0, '[]', NULL, NULL);
             INSERT INTO observer_dlq_items
                 (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, position, observer, action,
                  action_type, action_config, priority, attempts, attempts_before, max_attempts, class, code, last_error, died_at)
             SELECT id::uuid, 1, id::uuid, 'Order', '1', 'created', now(), '{}', 0, 'o', 'log', 'log',
                    '{\"type\": \"log\"}', 100, attempts, 0, 1, 'permanent', 'c', 'm', now()
             FROM (VALUES ('0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e21', -1), ('0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e22', 1))
                  AS n (id, attempts);",
        )
        .await;
    let captured = database.store.captures().await.unwrap();
    assert_eq!(captured.iter().map(|it| &*it.capture.table).collect::<Vec<_>>(), ["orders"]);
    let holds = database.store.holds().await.unwrap();
    assert_eq!(holds.iter().map(|hold| hold.target.to_string()).collect::<Vec<_>>(), ["sound"]);
    let dead = database.store.dead_letters(10).await.unwrap();
    assert_eq!(
        dead.iter().map(|item| item.id.to_string()).collect::<Vec<_>>(),
        ["0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e22"]
    );
}
