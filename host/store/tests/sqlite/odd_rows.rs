//! Rows that somebody wrote by SQL: one that cannot be read holds up no other.

use std::time::Duration;

use aftercommit_core::{ObserverDefinition, Timestamp};
use aftercommit_store::{
    CaptureRequest, Captures as _, DeadLetters as _, Definitions as _, Holds as _, HostId, Hosts as _,
    Quarantine as _, conformance::TestDatabase as _,
};

use crate::database::Database;

const NOW: Timestamp = Timestamp::from_micros(0);

async fn with_two_observers() -> Database {
    let database = Database::fresh().await;
    let both = vec![ObserverDefinition::new("odd"), ObserverDefinition::new("sound")];
    database.store.apply(both, false, false, NOW).await.unwrap();
    database
}

#[tokio::test]
async fn an_observer_with_any_odd_column_has_an_error_and_the_others_go_on() {
    let columns = [
        "enabled",
        "updated_at",
        "priority",
        "entity_type",
        "event_kind",
        "condition",
        "on_failure",
        "alert",
        "alert_interval_secs",
        "ordering",
        "retry",
        "actions",
    ];
    for column in columns {
        for value in ["'\u{1b}odd'", "x'ff00'", "-1.5", "'true'"] {
            let database = with_two_observers().await;
            database.sql(&format!("UPDATE tb_observer SET {column} = {value} WHERE name = 'odd'")).await;
            let rows = database.store.load().await.unwrap().rows;
            let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
            assert_eq!(row("sound").definition, Ok(ObserverDefinition::new("sound")), "{column} = {value}");
            // Texts and patterns may be any text.
            if let Err(error) = &row("odd").definition {
                assert!(error.contains(column), "{error} names {column}");
            } else {
                assert!(["entity_type", "condition"].contains(&column), "{column} = {value}");
            }
            let both = vec![ObserverDefinition::new("odd"), ObserverDefinition::new("sound")];
            database.store.apply(both, true, false, NOW).await.unwrap();
            let rows = database.store.load().await.unwrap().rows;
            let applied = rows.iter().filter(|row| row.definition.is_ok()).count();
            assert_eq!(applied, 2, "applying mends {column} = {value}");
        }
    }
}

#[tokio::test]
async fn enabling_mends_a_column_that_holds_neither() {
    let database = with_two_observers().await;
    database.sql("UPDATE tb_observer SET enabled = 'true' WHERE name = 'odd'").await;
    database.store.set_enabled("odd", false, NOW).await.unwrap();
    let rows = database.store.load().await.unwrap().rows;
    assert!(rows.iter().all(|row| row.definition.is_ok() && row.enabled == (row.name == "sound")));
}

#[tokio::test]
async fn the_row_of_a_host_that_cannot_be_read_holds_up_no_takeover() {
    let database = Database::fresh().await;
    let [here, gone] = [HostId::random(), HostId::random()];
    let now = NOW.plus(Duration::from_mins(10));
    database.store.register(here, "here", now).await.unwrap();
    database
        .sql(&format!(
            "INSERT INTO observer_hosts VALUES ('odd', x'ff', 'yesterday', 'tomorrow', -1);
             INSERT INTO observer_hosts SELECT '{gone}', name, started_at, '{NOW}', NULL
             FROM observer_hosts WHERE id = '{here}'"
        ))
        .await;
    let alive = now.minus(Duration::from_mins(1))..=now;
    assert_eq!(database.store.take_over(now, alive).await.unwrap().hosts, [gone]);
    let entered = database.store.hosts().await.unwrap();
    assert_eq!(entered.iter().map(|host| host.id).collect::<Vec<_>>(), [here]);
}

#[tokio::test]
async fn a_name_that_is_not_text_is_its_rows_problem() {
    let database = with_two_observers().await;
    database.sql("UPDATE tb_observer SET name = x'6fff' WHERE name = 'odd'").await;
    let rows = database.store.load().await.unwrap().rows;
    assert_eq!(rows.iter().filter(|row| row.definition.is_ok()).count(), 1);
    assert!(rows.iter().any(|row| row.name == "o\u{fffd}" && row.definition.is_err()));
}

#[tokio::test]
async fn lists_pass_over_rows_that_cannot_be_read() {
    let database = Database::fresh().await;
    database
        .sql("CREATE TABLE orders (id INTEGER PRIMARY KEY); CREATE TABLE bills (id INTEGER PRIMARY KEY)")
        .await;
    for (table, entity) in [("orders", "Order"), ("bills", "Bill")] {
        database.store.add_capture(CaptureRequest::new(table, entity), NOW).await.unwrap();
    }
    database
        .sql(
            "UPDATE observer_captures SET columns = 'id' WHERE table_name = 'bills';
             INSERT INTO observer_destinations VALUES
                 ('destination', 'odd', '', 'open', 'c', 'm', NULL, 'yesterday', NULL, 0, '[]', NULL, NULL),
                 ('destination', 'lanes', '', 'open', 'c', 'm', NULL, '2026-01-01T00:00:00.000000Z', NULL, 0, '{', NULL, NULL),
                 ('destination', 'sound', '', 'open', 'c', 'm', NULL, '2026-01-01T00:00:00.000000Z', NULL, 0, '[]', NULL, NULL);
             INSERT INTO observer_quarantine (reason, quarantined_at)
             VALUES ('odd', 'yesterday'), ('sound', '2026-01-01T00:00:00.000000Z');
             INSERT INTO observer_dlq_items
                 (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, position, observer, action,
                  action_type, action_config, priority, attempts, attempts_before, max_attempts, class, code, last_error, died_at)
             SELECT id, 1, id, 'Order', '1', 'created', '2026-01-01T00:00:00.000000Z', data, 0, 'o', 'log', 'log',
                    '{\"type\": \"log\"}', 100, 1, 0, 1, 'permanent', 'c', 'm', '2026-01-01T00:00:00.000000Z'
             FROM (SELECT '0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e21' AS id, '{' AS data
                   UNION ALL SELECT '0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e22', '{}'
                   UNION ALL SELECT 'no-uuid', '{}');",
        )
        .await;
    let captured = database.store.captures().await.unwrap();
    assert_eq!(captured.iter().map(|it| &*it.capture.table).collect::<Vec<_>>(), ["orders"]);
    let holds = database.store.holds().await.unwrap();
    assert_eq!(holds.iter().map(|hold| hold.target.to_string()).collect::<Vec<_>>(), ["sound"]);
    let aside = database.store.quarantined(10).await.unwrap();
    assert_eq!(aside.iter().map(|row| &*row.reason).collect::<Vec<_>>(), ["sound"]);
    let dead = database.store.dead_letters(10).await.unwrap();
    assert_eq!(
        dead.iter().map(|item| item.id.to_string()).collect::<Vec<_>>(),
        ["0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e22"]
    );
}
