//! Runs side effects after a database commit: a row changes, the host sees the event, finds the observers that want it,
//! evaluates their conditions and runs their actions, each a WebAssembly component.

pub mod cli;
pub mod config;
pub mod database;
pub mod document;
pub mod error;
pub mod logging;
pub mod nearest;
pub mod observer_file;
pub mod output;

pub use aftercommit_core::{
    ActionConfig, BackoffStrategy, EntityEvent, EventKind, FailurePolicy, ObserverDefinition, Ordering,
    RetryConfig,
};
pub use error::{Error, Result};
