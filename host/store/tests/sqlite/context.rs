//! Who made a change: what the application wrote into `observer_context` in the same transaction.

use aftercommit_core::EntityEvent;
use aftercommit_store::conformance::TestDatabase as _;

use crate::database::{Database, take};

async fn database() -> Database {
    let database = Database::fresh().await;
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)").await;
    database.capture("t", "T").await;
    database
}

fn context(event: &EntityEvent) -> [Option<&str>; 3] {
    [event.actor.as_deref(), event.tenant_id.as_deref(), event.traceparent.as_deref()]
}

#[tokio::test]
async fn events_have_the_context_of_their_transaction() {
    let database = database().await;
    database
        .sql(
            "BEGIN; UPDATE observer_context SET actor = 'anna', tenant_id = 'acme', traceparent = '00-1';
             INSERT INTO t VALUES (1, 1); UPDATE t SET id = 2; UPDATE t SET n = 2; DELETE FROM t;
             UPDATE observer_context SET actor = NULL, tenant_id = NULL, traceparent = NULL; COMMIT;
             INSERT INTO t VALUES (3, 3)",
        )
        .await;
    let events = database.events().await;
    let all = [Some("anna"), Some("acme"), Some("00-1")];
    assert_eq!(events.iter().map(context).collect::<Vec<_>>(), [all, all, all, all, all, [None; 3]]);
    take(&database).await;
    assert_eq!(database.events().await, events, "taking them changes nothing");
}

#[tokio::test]
async fn a_context_that_is_rolled_back_or_left_behind_does_not_stay() {
    let database = database().await;
    database
        .sql("BEGIN; UPDATE observer_context SET actor = 'anna'; ROLLBACK; INSERT INTO t VALUES (1, 1)")
        .await;
    database
        .sql("BEGIN; INSERT INTO t VALUES (2, 2); UPDATE observer_context SET actor = 'bert'; COMMIT")
        .await;
    take(&database).await;
    database.sql("INSERT INTO t VALUES (3, 3)").await;
    let actors: Vec<_> = database.events().await.into_iter().map(|event| event.actor).collect();
    assert_eq!(actors, [None, None, None], "the host clears what a commit left behind");
}

#[tokio::test]
async fn a_context_without_a_row_is_none() {
    let database = database().await;
    database.sql("DELETE FROM observer_context; INSERT INTO t VALUES (1, 1)").await;
    database
        .sql("BEGIN; INSERT OR REPLACE INTO observer_context (actor) VALUES ('anna'); UPDATE t SET n = 2; DELETE FROM observer_context; COMMIT")
        .await;
    let actors: Vec<_> = database.events().await.into_iter().map(|event| event.actor).collect();
    assert_eq!(actors, [None, Some("anna".to_owned())]);
}
