//! The runtime with real guests and real connections. Needs `cargo xtask plugins`.

mod configuring;
mod fixture;
mod limits;
mod loading;
mod receiver;
mod requests;
mod secrets;
