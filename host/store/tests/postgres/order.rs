//! The order of events: `created` first, `deleted` last, the last event of a row says what the row is, and times say the
//! same, whatever triggers, cascades and statements change the row.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aftercommit_core::{EntityEvent, EventKind};
use aftercommit_store::{
    CaptureRequest, Captures as _, HostId, Intake as _, TakeRequest, conformance::TestDatabase as _,
};

use crate::database::{Database, Nobody, at, execute};

/// Takes what is in the inbox in batches of so many rows.
async fn settle_by(database: &Database, limit: usize) {
    let request = TakeRequest {
        host: HostId::random(),
        limit,
        max_bytes: usize::MAX,
        own: 0,
        own_bytes: 0,
        now: at(0),
    };
    while database.store.take(request, Arc::new(Nobody)).await.unwrap().more {}
}

/// Follows the events of each entity and compares what they leave with the table `t (id, n)`.
async fn assert_events_make_the_table(database: &Database, first_limit: usize) {
    let waiting = database.events().await;
    settle_by(database, first_limit).await;
    let events = database.events().await;
    let ids = |events: &[EntityEvent]| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert!(ids(&waiting) == ids(&events), "taken in another order than they waited in");
    let mut rows: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    let mut last = HashMap::new();
    for event in &events {
        let key = event.entity_id.clone();
        let told = format!("{} {} {} (was {:?})", event.event_kind, key, event.data, event.old);
        if let Some(before) = last.insert(key.clone(), event.occurred_at) {
            assert!(before < event.occurred_at, "not later than the one before: {told}");
        }
        match event.event_kind {
            EventKind::Created => assert!(rows.insert(key, event.data.clone()).is_none(), "again: {told}"),
            EventKind::Updated => {
                assert_eq!(rows.insert(key, event.data.clone()), event.old, "{told}");
            }
            EventKind::Deleted => assert_eq!(rows.remove(&key).as_ref(), Some(&event.data), "{told}"),
            EventKind::Custom => panic!("{told}"),
        }
    }
    let made = rows.into_values().map(|row| row.to_string()).collect::<Vec<_>>().join("\n");
    let there = database
        .ask("SELECT string_agg(row_to_json(t)::text, E'\\n' ORDER BY id::text COLLATE \"C\") FROM t")
        .await;
    assert_eq!(made, there.unwrap_or_default());
}

/// A database in which these were run, with `t` captured.
async fn captured(statements: &[&str]) -> Database {
    let database = Database::fresh().await;
    for statement in statements.iter().filter(|statement| !statement.is_empty()) {
        database.sql(statement).await;
    }
    database.capture("t", "T").await;
    database
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY DEFERRABLE, n INTEGER);
    CREATE TABLE other (id INTEGER);";

/// Changes or deletes rows of the same table after some of them was changed.
const MEDDLER: &str = "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF pg_trigger_depth() < 3 THEN
            UPDATE t SET n = n + 1 WHERE id = NEW.id AND n % 2 = 0;
            UPDATE t SET n = n + 10 WHERE id = NEW.id + 1;
            DELETE FROM t WHERE n % 10 = 7 AND id <> NEW.id;
            DELETE FROM t WHERE id = NEW.id AND n % 10 = 5;
        END IF;
        RETURN NULL;
    END $$;";

/// Does nothing but be there.
const IDLER: &str =
    "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$";

const MEDDLES: &str = "CREATE TRIGGER a AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION meddle()";

/// Statements on `t` in the course of which the trigger changes rows that have no event of their own yet.
const CHANGES: &[&str] = &[
    "INSERT INTO t VALUES (1, 2)",
    "INSERT INTO t VALUES (10, 1), (11, 1), (12, 7), (13, 5), (14, 4)",
    "UPDATE t SET n = n + 3",
    "INSERT INTO t VALUES (20, 1), (21, 2) ON CONFLICT (id) DO NOTHING",
    "UPDATE t SET id = id + 1 WHERE id > 9",
    "UPDATE t SET n = n * 2 WHERE id > 9",
    "DELETE FROM t WHERE n % 3 = 0",
    "WITH gone AS (DELETE FROM t RETURNING id, n) INSERT INTO t SELECT id, n + 1 FROM gone",
    "BEGIN; INSERT INTO t VALUES (40, 1), (41, 1); SAVEPOINT s; UPDATE t SET n = n + 1; ROLLBACK TO s;
     UPDATE t SET id = id + 1; UPDATE t SET id = id + 1; DELETE FROM t WHERE id = 40; COMMIT",
];

#[tokio::test]
async fn rows_that_a_trigger_of_the_table_changes() {
    // The trigger is there before the capture, or after it and the capture is refreshed.
    for is_first in [true, false] {
        let database = Database::fresh().await;
        database.sql(&TABLE.replace(" DEFERRABLE", "")).await;
        database.sql(MEDDLER).await;
        let plain = ["INSERT INTO t VALUES (2, 3)", CHANGES[0]];
        if is_first {
            database.sql(MEDDLES).await;
            database.capture("t", "T").await;
        } else {
            database.capture("t", "T").await;
            database.sql(MEDDLES).await;
            // One row is in order without.
            for change in plain {
                database.sql(change).await;
            }
            assert!(database.drift().await.contains("can change rows of a statement"));
            assert_events_make_the_table(&database, 1).await;
            database.store.refresh_capture("t", at(0)).await.unwrap();
        }
        assert_eq!(database.drift().await, "");
        for (n, change) in CHANGES.iter().enumerate().skip(usize::from(!is_first)) {
            if let Err(error) = database.try_sql(change).await {
                // No conflict in the middle of a statement that moves keys, since the key is not deferrable here.
                assert!(error.contains("duplicate key"), "{change}: {error}");
                database.try_sql("ROLLBACK").await.ok();
            }
            assert_events_make_the_table(&database, 1 + n % 3).await;
        }
        assert!(database.events().await.len() > 30, "{}", database.events().await.len());
    }
}

#[tokio::test]
async fn keys_that_are_swapped() {
    for triggers in ["", MEDDLES] {
        let database = captured(&[TABLE, IDLER, triggers]).await;
        for change in [
            "INSERT INTO t SELECT n, n FROM generate_series(1, 4) AS n",
            "UPDATE t SET id = 3 - id WHERE id IN (1, 2)",
            "BEGIN; UPDATE t SET id = 3 - id WHERE id IN (1, 2); UPDATE t SET id = 3 - id, n = n + 1 WHERE id IN (1, 2); COMMIT",
            "UPDATE t SET id = id + 1; UPDATE t SET id = id + 1, n = n + 1",
            "UPDATE t SET id = CASE id WHEN 3 THEN 4 WHEN 4 THEN 3 ELSE id END, n = n + 1",
            "BEGIN; SAVEPOINT s; UPDATE t SET id = id + 1; ROLLBACK TO s; UPDATE t SET id = id + 1; UPDATE t SET id = id + 1; COMMIT",
        ] {
            database.sql(change).await;
            assert_events_make_the_table(&database, 2).await;
        }
    }
}

/// A key that partitions do not divide, so that rows of two of them swap theirs.
#[tokio::test]
async fn keys_that_are_swapped_between_partitions() {
    for triggers in ["", MEDDLES] {
        let database = Database::fresh().await;
        database
            .sql(
                "CREATE TABLE t (id INTEGER, n INTEGER, region INTEGER) PARTITION BY LIST (region);
                 CREATE TABLE north PARTITION OF t FOR VALUES IN (1); CREATE TABLE south PARTITION OF t FOR VALUES IN (2);
                 CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            )
            .await;
        database.sql(&format!("SELECT 1; {triggers}")).await;
        let request = CaptureRequest { key: vec!["id".into()], ..CaptureRequest::new("t", "T") };
        database.store.add_capture(request, at(0)).await.unwrap();
        for change in [
            "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 1)",
            "UPDATE t SET id = 3 - id WHERE id < 3",
            "UPDATE t SET region = 3 - region",
            "UPDATE t SET region = 3 - region WHERE id = 1; UPDATE t SET id = 4 - id",
        ] {
            database.sql(change).await;
            assert_events_make_the_table(&database, 1).await;
        }
    }
}

#[tokio::test]
async fn cascades_to_the_same_table() {
    let database = captured(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE,
             other INTEGER REFERENCES t ON DELETE SET NULL ON UPDATE CASCADE)",
    ])
    .await;
    for change in [
        "INSERT INTO t VALUES (1, NULL, NULL), (2, 1, NULL), (3, 2, NULL), (4, 3, 1), (5, NULL, 2), (6, NULL, 6)",
        "UPDATE t SET id = 20 WHERE id = 2",
        "UPDATE t SET id = id + 100 WHERE id IN (1, 5)",
        "DELETE FROM t WHERE id = 20",
        "DELETE FROM t WHERE id IN (101, 105)",
        "INSERT INTO t VALUES (7, 7, NULL), (8, 7, 7); DELETE FROM t",
    ] {
        database.sql(change).await;
        assert_events_make_the_table(&database, 2).await;
    }
}

#[tokio::test]
async fn cascades_to_children_that_the_same_statement_makes() {
    let database = captured(&[
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, n INTEGER);
         CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
         INSERT INTO parent VALUES (1), (2), (3)",
    ]).await;
    for change in [
        "INSERT INTO t VALUES (1, 1), (2, 1), (3, 2)",
        "UPDATE parent SET id = id + 10",
        "DELETE FROM parent WHERE id = 11",
        "WITH made AS (INSERT INTO t VALUES (9, 12)) UPDATE t SET up = 13 WHERE id = 3",
        "DELETE FROM parent",
    ] {
        database.sql(change).await;
        assert_events_make_the_table(&database, 3).await;
    }
}

#[tokio::test]
async fn upserts_merges_and_deferred_triggers() {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    database
        .sql(
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF pg_trigger_depth() < 2 THEN
                     UPDATE t SET n = n + 1;
                     DELETE FROM t WHERE n > 50;
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION meddle();
             CREATE TRIGGER whole AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION meddle()",
        )
        .await;
    database.capture("t", "T").await;
    let merge = "MERGE INTO t USING (VALUES (1), (2), (77)) AS s (id) ON t.id = s.id
        WHEN MATCHED AND t.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 5 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 1)";
    for change in [
        "INSERT INTO t VALUES (1, 1), (2, 2)",
        "INSERT INTO t VALUES (2, 20), (3, 30) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
        "BEGIN; INSERT INTO t VALUES (4, 1); UPDATE t SET n = n * 2; UPDATE t SET id = 5 WHERE id = 4; COMMIT",
        if database.server_version().await < 15 { "SELECT 1" } else { merge },
        "DO $$ BEGIN INSERT INTO t VALUES (8, 1); BEGIN UPDATE t SET n = 1; RAISE 'no'; EXCEPTION WHEN OTHERS THEN DELETE FROM t WHERE id = 8; END; END $$",
    ] {
        database.sql(change).await;
        assert_events_make_the_table(&database, 2).await;
    }
}

/// The second waits for the first to commit; its place is behind, although it began before.
#[tokio::test]
async fn transactions_that_wait_for_each_other() {
    for triggers in ["", MEDDLES] {
        let database = captured(&[TABLE, IDLER, triggers]).await;
        database.sql("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)").await;
        let (mut first, mut second) = (database.connect().await, database.connect().await);
        execute(&mut first, "BEGIN; UPDATE t SET n = 10 WHERE id = 2").await.unwrap();
        let waits = tokio::spawn(async move {
            execute(&mut second, "BEGIN; UPDATE t SET n = n + 1; UPDATE t SET id = id + 1; COMMIT").await
        });
        let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while database.ask(waiting).await.as_deref() != Some("1") {
            tokio::task::yield_now().await;
        }
        execute(&mut first, "UPDATE t SET n = 11 WHERE id = 2; UPDATE t SET id = 9 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 9; COMMIT")
            .await
            .unwrap();
        waits.await.unwrap().unwrap();
        assert_events_make_the_table(&database, 1).await;
    }
}

/// A generator of numbers that begins with a seed: the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn statement(&mut self) -> String {
        let (id, n) = (self.below(12), self.below(60));
        match self.below(10) {
            // Not beside a row with the same key, even if a trigger deletes that in time.
            0..3 => format!(
                "INSERT INTO t SELECT * FROM (VALUES ({id}, {n}), ({id} + 1, {n} + 1), ({id} + 2, 3)) AS v (id, n)
                 WHERE NOT EXISTS (SELECT FROM t WHERE t.id = v.id)"
            ),
            3 => format!("UPDATE t SET n = n + {n} WHERE id >= {id}"),
            4 => format!("UPDATE t SET n = {n} WHERE id = {id}"),
            5 => format!("UPDATE t SET id = CASE id WHEN {id} THEN {id} + 1 WHEN {id} + 1 THEN {id} ELSE id END, n = n + {n}"),
            6 => "UPDATE t SET id = id + 1".to_owned(),
            7 => format!("DELETE FROM t WHERE n % 5 = {}", n % 5),
            8 => format!("WITH gone AS (DELETE FROM t WHERE id > {id} RETURNING id, n) INSERT INTO t SELECT id, n + 1 FROM gone"),
            _ => format!("SAVEPOINT s; UPDATE t SET n = n + 1; DELETE FROM t WHERE id = {id}; ROLLBACK TO s"),
        }
    }
}

#[tokio::test]
async fn events_of_random_statements_make_the_table() {
    let database = captured(&[TABLE, MEDDLER, MEDDLES]).await;
    let mut dice = Dice(7);
    for round in 0..40 {
        for _ in 0..6 {
            let count = 1 + dice.below(3);
            let statements: Vec<_> = (0..count).map(|_| dice.statement()).collect();
            let end = if dice.below(8) == 0 { "ROLLBACK" } else { "COMMIT" };
            // Some fail for a key that is there twice; then nothing has happened.
            if database.try_sql(&format!("BEGIN; {}; {end}", statements.join("; "))).await.is_err() {
                database.try_sql("ROLLBACK").await.ok();
            }
        }
        assert_events_make_the_table(&database, 1 + round % 7).await;
    }
    assert!(database.events().await.len() > 500, "{}", database.events().await.len());
}

/// As logical replication applies changes: one row with each statement, and no trigger for statements.
#[tokio::test]
async fn changes_that_replication_applies() {
    let database = Database::fresh().await;
    database.sql(TABLE).await;
    database
        .sql(
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN UPDATE t SET n = n + 100 WHERE id = NEW.id + 1; RETURN NULL; END $$;
             CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION meddle()",
        )
        .await;
    database.capture("t", "T").await;
    for trigger in ["a", "!aftercommit_insert", "!aftercommit_update", "!aftercommit_delete"] {
        database.sql(&format!("ALTER TABLE t ENABLE ALWAYS TRIGGER \"{trigger}\"")).await;
    }
    database.sql("SET session_replication_role = replica").await;
    for change in [
        "BEGIN; INSERT INTO t VALUES (12, 1); INSERT INTO t VALUES (11, 1); UPDATE t SET n = 5 WHERE id = 12; COMMIT",
        "BEGIN; DELETE FROM t WHERE id = 12; INSERT INTO t VALUES (12, 7); INSERT INTO t VALUES (10, 1); DELETE FROM t WHERE id = 11; COMMIT",
        "BEGIN; UPDATE t SET id = 9 WHERE id = 10; INSERT INTO t VALUES (8, 1); UPDATE t SET id = 10 WHERE id = 9; COMMIT",
    ] {
        database.sql(change).await;
        assert_events_make_the_table(&database, 2).await;
    }
}

/// What `docs/postgresql.md` says of changes whose events come in another order.
#[tokio::test]
async fn what_comes_in_another_order() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE b (id INTEGER PRIMARY KEY, n INTEGER);
             CREATE TABLE d (id INTEGER PRIMARY KEY DEFERRABLE, n INTEGER);
             CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN IF pg_trigger_depth() = 1 THEN UPDATE a SET n = n + 100 WHERE id = NEW.id - 1; END IF; RETURN NEW; END $$;
             CREATE TRIGGER early BEFORE INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION early();
             CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN UPDATE b SET n = n + 100 WHERE id = NEW.id; RETURN NULL; END $$;
             CREATE TRIGGER other AFTER UPDATE ON a FOR EACH ROW EXECUTE FUNCTION other()",
        )
        .await;
    for table in ["a", "b", "d"] {
        database.capture(table, table).await;
    }
    let shown = "SELECT string_agg(concat_ws(' ', entity_type, event_kind, data::json ->> 'id', data::json ->> 'n'), ', ' ORDER BY place, seq) FROM observer_inbox";
    for (change, expected) in [
        ("INSERT INTO a VALUES (10, 1), (11, 1)", "a updated 10 101, a created 10 1, a created 11 1"),
        ("DELETE FROM a WHERE id = 11; INSERT INTO b VALUES (10, 1)", "a deleted 11 1, b created 10 1"),
        (
            "WITH x AS (UPDATE b SET n = n + 1) UPDATE a SET n = 2 WHERE id = 10",
            "a updated 10 2, b updated 10 102, b updated 10 2",
        ),
        (
            "BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO d VALUES (1, 1); INSERT INTO d VALUES (1, 2); DELETE FROM d WHERE n = 1; COMMIT",
            "d created 1 1, d created 1 2, d deleted 1 1",
        ),
    ] {
        database.sql(change).await;
        assert_eq!(database.ask(shown).await.as_deref(), Some(expected), "{change}");
        database.sql("DELETE FROM observer_inbox").await;
    }
    // The statement has that row still before it.
    database.sql("DELETE FROM a; INSERT INTO a VALUES (2, 1); INSERT INTO a VALUES (1, 1)").await;
    let refused = database.try_sql("UPDATE a SET n = n + 1").await.unwrap_err();
    assert!(
        refused.contains("already modified by an operation triggered by the current command"),
        "{refused}"
    );
}

/// What is warned of for the captured table `name`.
async fn warnings(database: &Database, name: &str) -> Vec<String> {
    let statuses = database.store.captures().await.unwrap();
    statuses.into_iter().find(|status| status.capture.table == name).unwrap().warnings
}

/// A table `t` with a trigger, of which it is shown whether it is warned of.
async fn is_warned_of(table: &str, body: &str, trigger: &str) -> bool {
    let database = Database::fresh().await;
    database
        .sql(&format!("CREATE SCHEMA shop; CREATE TABLE {table} (id INTEGER PRIMARY KEY, n INTEGER)"))
        .await;
    database
        .sql(&format!(
            "SET check_function_bodies = off; -- PostgreSQL 14 has no MERGE
             CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN {body} RETURN NEW; END $body$;
             CREATE TRIGGER \"the trigger\" {trigger} EXECUTE FUNCTION early()"
        ))
        .await;
    let capture = database.capture(&table.replace('"', ""), "T").await;
    let warnings = warnings(&database, &capture.table).await;
    let named = warnings
        .iter()
        .all(|warning| warning.contains("the trigger the trigger runs before a row is changed"));
    assert!(warnings.len() < 2 && named, "{warnings:?}");
    !warnings.is_empty()
}

#[tokio::test]
async fn triggers_that_write_to_their_own_table_before_a_row_is_changed_are_warned_of() {
    let each_row = "BEFORE INSERT OR UPDATE ON t FOR EACH ROW";
    for body in [
        "UPDATE t SET n = 1 WHERE id = 1;",
        "update only public . t set n = 1;",
        "INSERT INTO t VALUES (NEW.id + 100, 1) ON CONFLICT DO NOTHING;",
        "DELETE\n FROM public.t WHERE id = 7;",
        "MERGE INTO \"t\" USING (SELECT 1) AS s ON false WHEN NOT MATCHED THEN DO NOTHING;",
    ] {
        assert!(is_warned_of("t", body, each_row).await, "{body}");
    }
    for body in [
        "NEW.n := 1;",
        "PERFORM 1 FROM t;",
        "UPDATE tt SET n = 1;",
        "-- UPDATE t SET n = 1\n",
        "/* DELETE FROM t\n */",
        "IF TG_OP = 'UPDATE t' THEN NEW.n := 1; END IF;",
        "UPDATE other SET t = 1;",
    ] {
        assert!(!is_warned_of("t", body, each_row).await, "{body}");
    }
    let writes = "UPDATE t SET n = 1 WHERE id = 1;";
    assert!(is_warned_of("t", writes, "BEFORE DELETE ON t FOR EACH ROW").await);
    assert!(
        !is_warned_of("t", writes, "BEFORE UPDATE ON t FOR EACH STATEMENT").await,
        "nothing is changed yet"
    );
    assert!(!is_warned_of("t", writes, "AFTER UPDATE ON t FOR EACH ROW").await, "its events come after");
    let odd = "UPDATE shop.\"My.Orders (2)\" SET n = 1;";
    assert!(
        is_warned_of("shop.\"My.Orders (2)\"", odd, "BEFORE UPDATE ON shop.\"My.Orders (2)\" FOR EACH ROW")
            .await
    );
}

#[tokio::test]
async fn warnings_come_and_go_with_their_triggers_and_partitions_count() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100);
             CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET n = 1 WHERE id = 1; RETURN NEW; END $$",
        )
        .await;
    database.capture("t", "T").await;
    assert_eq!(warnings(&database, "t").await, Vec::<String>::new());
    database.sql("CREATE TRIGGER early BEFORE INSERT ON low FOR EACH ROW EXECUTE FUNCTION early()").await;
    assert_eq!(warnings(&database, "t").await.len(), 1, "a trigger of a partition");
    database.sql("ALTER TABLE low DISABLE TRIGGER early").await;
    assert_eq!(warnings(&database, "t").await, Vec::<String>::new(), "it does not run");
    database.sql("ALTER TABLE low ENABLE ALWAYS TRIGGER early").await;
    assert_eq!(warnings(&database, "t").await.len(), 1);
    assert_eq!(database.store.captures().await.unwrap()[0].drift, None, "a refresh would change nothing");
}

#[tokio::test]
async fn deferrable_keys_are_warned_of() {
    let database = Database::fresh().await;
    let keyed = |key: &[&str], table: &str| CaptureRequest {
        key: key.iter().map(ToString::to_string).collect(),
        ..CaptureRequest::new(table, table)
    };
    for (table, columns, key, is_deferrable) in [
        ("a", "id INTEGER PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n INTEGER", &[][..], true),
        ("b", "id INTEGER PRIMARY KEY DEFERRABLE, n INTEGER", &[], true),
        ("c", "id INTEGER PRIMARY KEY, n INTEGER UNIQUE DEFERRABLE", &[], false),
        ("d", "id INTEGER PRIMARY KEY, n INTEGER NOT NULL UNIQUE DEFERRABLE", &["n"], true),
        ("e", "x INTEGER, y INTEGER, PRIMARY KEY (y, x) DEFERRABLE", &[], true),
        ("f", "x INTEGER, y INTEGER, PRIMARY KEY (x, y) DEFERRABLE", &["y", "x"], true),
        ("g", "x INTEGER UNIQUE DEFERRABLE, y INTEGER, PRIMARY KEY (x, y)", &[], false),
        ("h", "\"ID\" INTEGER PRIMARY KEY DEFERRABLE", &[], true),
    ] {
        database.sql(&format!("CREATE TABLE {table} ({columns})")).await;
        database.store.add_capture(keyed(key, table), at(0)).await.unwrap();
        let warnings = warnings(&database, table).await;
        assert_eq!(warnings.len(), usize::from(is_deferrable), "{table} ({columns}): {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains("the key is deferrable")), "{warnings:?}");
    }
}

/// Triggers whose names sort before ours run first; ours can not be put before them.
#[tokio::test]
async fn triggers_that_run_before_ours_are_a_drift() {
    let database = Database::fresh().await;
    database
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER);
             CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET n = n + 1 WHERE id = NEW.id AND n < 3; RETURN NULL; END $$",
        )
        .await;
    database.capture("t", "T").await;
    for (name, is_first) in [("!a", true), (" own", true), ("own", false), ("Zebra", false), ("!b", false)] {
        database
            .sql(&format!("CREATE TRIGGER \"{name}\" AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION own()"))
            .await;
        database.store.refresh_capture("t", at(0)).await.unwrap();
        let drift = database.store.captures().await.unwrap().remove(0).drift;
        let expected = is_first.then(|| format!("the trigger {name} runs before ours"));
        assert_eq!(drift.is_some(), is_first, "{name}: {drift:?}");
        assert!(expected.is_none_or(|expected| drift.unwrap().contains(&expected)), "{name}");
        database.sql(&format!("DROP TRIGGER \"{name}\" ON t")).await;
    }
}
