//! The real program on real PostgreSQL servers.
//!
//! `database` is a shop's database on a server of the tests' own. The other files are tests, one subject each.

mod database;
mod hosts;
