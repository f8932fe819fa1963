//! Every statement of the backend, on a migrated database.

use std::collections::HashSet;

use aftercommit_store::{conformance::TestDatabase as _, postgres::statements};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _};

use crate::database::Database;

#[tokio::test]
async fn every_statement_can_be_prepared_and_has_a_name_of_its_own() {
    let database = Database::fresh().await;
    let mut connection = database.connect().await;
    let mut names = HashSet::new();
    for (name, sql) in statements() {
        assert!(names.insert(name), "two statements are named {name}");
        assert_ne!(name, "unnamed", "{sql}");
        if let Err(error) = (&mut connection).prepare(sql.into_sql_str()).await {
            panic!("{name}: {error}");
        }
    }
    assert!(names.len() > 60, "the list of statements is not complete");
}

/// The plan of a named statement, with what the arguments need to be, made as the store's connections have it made.
async fn plan(database: &Database, name: &str, types: &str, arguments: &str) -> String {
    let sql = statements().find(|statement| statement.0 == name).expect("there is such a statement").1;
    let mut connection = database.connect().await;
    let settings = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";
    let prepare = format!("{settings}; PREPARE asked ({types}) AS {sql}");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.unwrap();
    let explain = format!("EXPLAIN EXECUTE asked ({arguments})");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get_unchecked(0)).collect();
    lines.join("\n")
}

/// How deliveries of disabled observers are found: from name to name.
const OF_DISABLED: [&str; 4] = [
    "deliveries_ready_by_lane ",
    "deliveries_due_by_lane ",
    "tb_observer_disabled on tb_observer",
    "Index Cond: (name >= ",
];

/// However much is live, a claim reads what it claims: through the index made for it, without sorting a backlog.
#[tokio::test]
async fn claims_read_their_own_indexes() {
    let database = Database::fresh().await;
    database
        .sql(
            "INSERT INTO observer_deliveries (id, event_seq, event_at, event_id, position, observer, action, action_type,
                 state, priority, attempts, max_attempts, next_attempt_at, owner, ordering_key, created_at,
                 losses)
             SELECT gen_random_uuid(), n, now(), gen_random_uuid(), 0, 'o' || n % 50, 'a', 'webhook',
                    (ARRAY['ready', 'waiting', 'running'])[1 + n % 3], 100, 1, 3,
                    CASE n % 3 WHEN 1 THEN now() + n * interval '1 s' END,
                    CASE n % 3 WHEN 2 THEN gen_random_uuid() END, CASE n % 10 WHEN 0 THEN 'k' || n END, now(),
                    CASE n % 20 WHEN 0 THEN 1 + n % 3 ELSE 0 END
             FROM generate_series(1, 20000) AS n;
             INSERT INTO tb_observer (name, enabled) SELECT 'o' || n, n % 10 <> 3 FROM generate_series(1, 1000) AS n;
             ANALYZE observer_deliveries, tb_observer",
        )
        .await;
    let uuid = "'00000000-0000-0000-0000-000000000000'";
    for (name, types, arguments, steps) in [
        (
            "claim_due",
            "bigint, uuid, bigint, boolean, timestamptz",
            format!("10, {uuid}, 9, true, now()"),
            &["deliveries_due "][..],
        ),
        (
            "claim_ready",
            "bigint, uuid, bigint, boolean",
            format!("10, {uuid}, 9, true"),
            &["deliveries_ready "],
        ),
        (
            "claim_due_by_lane",
            "bigint, uuid, bigint, boolean, text[], text[], timestamptz",
            format!("10, {uuid}, 9, true, '{{o1}}', '{{a}}', now()"),
            &["deliveries_due_by_lane ", "ROW(observer, action) > ROW("],
        ),
        (
            "claim_ready_by_lane",
            "bigint, uuid, bigint, boolean, text[], text[]",
            format!("10, {uuid}, 9, true, '{{o1}}', '{{a}}'"),
            &["deliveries_ready_by_lane ", "ROW(observer, action) > ROW("],
        ),
        (
            "claim_suspects",
            "bigint, uuid, bigint, boolean, integer, integer, timestamptz, text[], text[]",
            format!("10, {uuid}, 9, true, 1, 1, now(), '{{o1}}', '{{a}}'"),
            &["deliveries_lost "],
        ),
        (
            "claim_runs",
            "bigint, uuid, bigint, text[], bigint[], integer[], uuid[], integer[], text[], text[]",
            format!(
                "10, {uuid}, 9, '{{k1}}', '{{1}}', '{{0}}', '{{{0}}}', '{{9}}', '{{}}', '{{}}'",
                uuid.trim_matches('\'')
            ),
            &["deliveries_ordered ", "> ROW(h.event_seq", "deliveries_pkey "],
        ),
        ("has_suspects", "text", "NULL".to_owned(), &["deliveries_lost "]),
        ("has_work", "timestamptz", "now()".to_owned(), &OF_DISABLED),
        ("next_due", "text", "NULL".to_owned(), &OF_DISABLED),
        (
            "next_due_by_lane",
            "text[], text[]",
            "'{o1}', '{a}'".to_owned(),
            &["deliveries_ready_by_lane ", "deliveries_due_by_lane ", "ROW(observer, action) > ROW("],
        ),
        ("owned_deliveries", "uuid", uuid.to_owned(), &["deliveries_running"]),
        ("lock_keys_of", "uuid[]", format!("ARRAY[{uuid}]::uuid[]"), &["deliveries_pkey", "One-Time Filter"]),
        ("live_keys", "text[]", "'{k1}'".to_owned(), &["deliveries_unblocked"]),
    ] {
        let plan = plan(&database, name, types, &arguments).await;
        for step in steps {
            assert!(plan.contains(step), "{name}: no `{step}` in\n{plan}");
        }
        assert!(!plan.contains("Seq Scan on observer_deliveries"), "{name} reads the whole table:\n{plan}");
    }
}

/// What is read of events and of the log is read from the partitions of their time only.
#[tokio::test]
async fn events_are_read_from_their_own_partition() {
    let database = Database::fresh().await;
    let plan =
        plan(&database, "read_events", "bigint[], timestamptz, timestamptz", "'{1,2}', now(), now()").await;
    assert_eq!(plan.matches(" on observer_events_").count(), 1, "{plan}");
}

/// A page of a list reads what it lists: in the order of an index, without sorting all that is there.
#[tokio::test]
async fn lists_read_their_own_indexes() {
    let database = Database::fresh().await;
    database
        .sql(
            "INSERT INTO observer_events (entity_type, entity_id, event_kind, data)
             SELECT 'Order', n, 'created', '{}' FROM generate_series(1, 20000) AS n;
             INSERT INTO tb_observer_log (observer, attempt, max_attempts, status, message, started_at, duration_us)
             SELECT 'o', 1, 3, 'succeeded', '', now(), 1 FROM generate_series(1, 20000) AS n;
             INSERT INTO observer_dlq_items (id, event_seq, event_id, occurred_at, position, observer, action, action_type,
                 action_config, priority, attempts, attempts_before, max_attempts, class, code, last_error, died_at)
             SELECT gen_random_uuid(), n, gen_random_uuid(), now(), 0, 'o', 'a', 'webhook', '{}', 100, 3, 0, 3, 'permanent',
                    'c', 'm', now() + n * interval '1 s'
             FROM generate_series(1, 20000) AS n;
             ANALYZE observer_events, tb_observer_log, observer_dlq_items",
        )
        .await;
    let wanted = "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL";
    let uuid = "'00000000-0000-0000-0000-000000000000'";
    for (name, types, arguments, step) in [
        ("newest_event_below", "bigint", "100000".to_owned(), "Limit"),
        (
            "list_events",
            "bigint, bigint, text, text, text[], bigint",
            "9, 1, NULL, NULL, NULL, 10".to_owned(),
            "Limit",
        ),
        ("newest_attempt_below", "bigint", "100000".to_owned(), "Limit"),
        (
            "ended_deliveries",
            "text, text, text, bigint, bigint, bigint",
            "NULL, NULL, NULL, 9, 1, 10".to_owned(),
            "Limit",
        ),
        (
            "list_dead_letters",
            "text, text, text, text, text, text, timestamptz, timestamptz, timestamptz, uuid, bigint",
            format!("{wanted}, now(), {uuid}, 10"),
            "Presorted Key: died_at",
        ),
    ] {
        let plan = plan(&database, name, types, &arguments).await;
        assert!(plan.contains(step) && !plan.contains("->  Sort"), "{name}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{name} reads a whole table:\n{plan}");
    }
}
