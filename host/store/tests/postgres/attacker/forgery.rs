//! Events and settings that are not the role's to make.

use aftercommit_store::{Captures as _, conformance::TestDatabase as _};

use super::Attacker;
use crate::database::at;

#[tokio::test]
async fn temporary_tables_and_settings_forge_nothing() {
    let mut attacker = Attacker::new().await;
    attacker
        .run(
            "CREATE TEMP TABLE observer_inbox (x INTEGER); CREATE TEMP TABLE observer_events (x INTEGER);
             CREATE TEMP SEQUENCE observer_events_seq; SET search_path = pg_temp, evil;
             CREATE TABLE evil.t (id INTEGER PRIMARY KEY DEFERRABLE, n INTEGER, up INTEGER)",
        )
        .await;
    attacker.database.sql("CREATE TABLE other (id INTEGER PRIMARY KEY DEFERRABLE)").await;
    attacker.capture("evil.t").await;
    attacker.database.capture("other", "Other").await;
    attacker
        .run("CREATE FUNCTION evil.noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
        .await;
    attacker.run("CREATE TRIGGER z AFTER INSERT ON evil.t FOR EACH ROW EXECUTE FUNCTION evil.noop()").await;
    attacker.database.store.refresh_capture("evil.t", at(0)).await.unwrap();
    let huge = "x".repeat(1 << 20);
    let mut id = 0;
    for value in [
        "garbage",
        ":",
        "::",
        ":-1:-1",
        ":1:1",
        ":999999999999999999:999999999999999999",
        ":99999999999999999999999:1",
        ":1:x",
        ":0:0",
        "0.0:0:0",
        huge.as_str(),
    ] {
        for setting in ["statement_0", "statement_1", "statement_2", "moved"] {
            attacker.run(&format!("SET aftercommit.{setting} = '{value}'")).await;
        }
        id += 10;
        attacker
            .run(&format!(
                "INSERT INTO evil.t VALUES ({id}, 1), ({id} + 1, 2); UPDATE evil.t SET id = id + 1 WHERE id >= {id};
                 UPDATE evil.t SET n = n + 1 WHERE id = {id} + 1"
            ))
            .await;
        attacker
            .database
            .sql(&format!("INSERT INTO other VALUES ({id}); UPDATE other SET id = id + 1 WHERE id = {id}"))
            .await;
    }
    attacker.assert_nothing_gained().await;
    let events = attacker.database.events().await;
    assert_eq!(events.len(), 11 * 10);
    let now = aftercommit_core::Timestamp::from_micros(i64::MAX / 4);
    assert!(events.iter().all(|event| event.occurred_at < now));
    let others: Vec<_> = events
        .iter()
        .filter(|event| event.entity_type == "Other")
        .map(|event| event.event_kind.as_str())
        .collect();
    assert_eq!(others, ["created", "deleted", "created"].repeat(11));
    attacker.database.settle().await;
    assert_eq!(attacker.database.events().await.len(), 11 * 10);
}

#[tokio::test]
async fn our_schema_is_closed() {
    let mut attacker = Attacker::new().await;
    attacker.database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    attacker.run("CREATE TABLE evil.t (id INTEGER PRIMARY KEY)").await;
    attacker.capture("evil.t").await;
    for (statement, refusal) in [
        ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "permission denied for schema"),
        ("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION evil.e()", "permission denied"),
        ("INSERT INTO public.observer_inbox (seq) VALUES (1)", "permission denied"),
        ("SELECT nextval('public.observer_events_seq')", "permission denied"),
        ("DO $$ BEGIN EXECUTE (SELECT format('CREATE TRIGGER x AFTER INSERT ON evil.t FOR EACH ROW EXECUTE FUNCTION public.%I()', proname)
              FROM pg_proc WHERE proname LIKE 'observer_capture_evil_t%_insert'); END $$", "permission denied for function"),
        ("CREATE TRIGGER x BEFORE INSERT ON public.observer_inbox FOR EACH ROW EXECUTE FUNCTION evil.e()", "permission denied"),
    ] {
        attacker.try_run("CREATE FUNCTION evil.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'").await.ok();
        let error = attacker.try_run(statement).await.unwrap_err();
        assert!(error.contains(refusal), "{statement}: {error}");
    }
    attacker.assert_nothing_gained().await;
}
