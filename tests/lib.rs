//! What tests and benchmarks of several packages start for themselves: an HTTP receiver and a PostgreSQL server.

mod cluster;
mod receiver;

pub use cluster::Cluster;
pub use receiver::{Answer, Received, Receiver};
