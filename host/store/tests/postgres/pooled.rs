//! Behind a pooler that gives each transaction to any session: no options at the start, no prepared statements.
//!
//! It is a real `PgBouncer` where the machine has one. Without it the same statements go to the server itself.

use std::sync::Arc;

use aftercommit_store::{
    Schema as _,
    conformance::{self, Harness, TestDatabase},
};
use async_trait::async_trait;

use crate::database::Database;

struct PooledHarness;

#[async_trait]
impl Harness for PooledHarness {
    async fn fresh(&self) -> Arc<dyn TestDatabase> {
        let database = Database::pooled("public").await;
        database.store.migrate().await.unwrap();
        Arc::new(database)
    }
}

/// Everything but the bell, for which there is no connection, and the model, which takes long and asks for nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_behind_a_pooler() {
    let left_out = ["intake::hears_a_commit", "model::behaves_like_the_model"];
    let cases = conformance::CASES.iter().map(|case| case.name).filter(|name| !left_out.contains(name));
    conformance::run_cases(Arc::new(PooledHarness), &cases.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_schema_of_its_own_needs_nothing_of_the_session() {
    let database = Database::pooled("elsewhere").await;
    database.store.migrate().await.unwrap();
    database.store.check_schema().await.unwrap();
    database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    database.capture("t", "T").await;
    database.sql("INSERT INTO t VALUES (1)").await;
    assert_eq!(database.kinds().await, ["created 1"]);
}
