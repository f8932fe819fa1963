//! The runtime with real guests and real connections. Needs `cargo xtask plugins`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batch;
mod cache;
mod cache_errors;
mod configuring;
mod denials;
mod egress;
mod email;
mod fixture;
mod heard;
mod hostile;
mod limits;
mod loading;
mod mail_token;
mod own_process;
mod receiver;
mod redis;
mod requests;
mod routes;
mod secrets;
mod smtp;
mod wasi;
mod whole_memory;
mod wire;
