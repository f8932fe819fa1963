//! The PostgreSQL backend: the conformance suite, and what only PostgreSQL does.
//!
//! Needs the programs of a PostgreSQL server, version 14 or later, but no running one: the tests start their own.

#![expect(clippy::unwrap_used, reason = "tests: what can not be had fails the test")]

mod attacker;
mod backfill;
mod bell;
mod capture;
mod change_log;
mod compiled;
#[path = "../compiled/mod.rs"]
mod compiled_conditions;
mod context;
mod database;
mod hardiness;
mod hosts;
mod inbox;
mod late;
mod locks;
mod network;
mod odd_rows;
mod opening;
mod order;
mod partitions;
mod pooled;
mod restored;
mod rights;
mod secured;
mod slow_way;
mod statements;
mod upgrade;
#[path = "../upgraded/mod.rs"]
mod upgraded;
mod values;

use std::sync::Arc;

use aftercommit_store::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    // Before version 15 a session's counts of rows that were read arrive when they like: work can not be compared.
    let counts_work = database::Database::fresh().await.server_version().await >= 15;
    let is_wanted = |name: &&str| counts_work || !name.starts_with("bulk::");
    let cases = conformance::CASES.iter().map(|case| case.name).filter(is_wanted);
    conformance::run_cases(Arc::new(database::PostgresHarness), &cases.collect::<Vec<_>>()).await;
}
