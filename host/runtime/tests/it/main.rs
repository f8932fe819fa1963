//! The runtime with real guests and real connections. Needs `cargo xtask plugins`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batch;
mod cache;
mod configuring;
mod email;
mod fixture;
mod limits;
mod loading;
mod receiver;
mod redis;
mod requests;
mod secrets;
mod smtp;
mod wasi;
