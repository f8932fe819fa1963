//! The SQLite backend: the conformance suite, and what only SQLite does.

#![expect(clippy::unwrap_used, reason = "tests: what can not be had fails the test")]

mod applications;
mod backfill;
mod capture;
mod compiled;
#[path = "../compiled/mod.rs"]
mod compiled_conditions;
mod context;
mod database;
mod drift;
mod intake;
mod liveness;
mod odd_rows;
mod old_triggers;
mod opening;
mod order;
mod quarantine;
mod selection;
mod shared_views;
mod upgrade;
#[path = "../upgraded/mod.rs"]
mod upgraded;
mod values;
mod write_lock;

use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    aftercommit_store::conformance::run(Arc::new(database::SqliteHarness)).await;
}
