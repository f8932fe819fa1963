//! The SQLite backend: the conformance suite, and what only SQLite does.

mod database;

use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    aftercommit_store::conformance::run(Arc::new(database::SqliteHarness)).await;
}
