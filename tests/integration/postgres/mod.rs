//! The real program on real PostgreSQL servers, while everything breaks that can break.
//!
//! `database` is a shop's database on a server of the tests' own, `writers` and `pooled_writers` the application
//! that commits and rolls back, `oracle` what was committed and whether what was told of it is the truth. The other files are tests, one
//! kind of trouble each. Who kills a server has one of its own.

mod capture_warnings;
mod connections;
pub(crate) mod database;
mod destinations;
mod earlier_observers;
mod half_open;
mod hosts;
mod late_commits;
pub(crate) mod oracle;
pub(crate) mod pooled_writers;
mod proxy;
mod receivers;
mod refusals;
pub(crate) mod writers;

pub(crate) use database::PostgresDatabase;
