//! Runs side effects after a database commit: a row changes, the host sees the event, finds the observers that want it,
//! evaluates their conditions and runs their actions, each a WebAssembly component.
//!
//! Two ways to embed it. A [`Host`] is the whole durable pipeline over a database. An [`ObserverExecutor`] processes
//! single events in memory. A program may bring its own [`EventSource`] and [`DeadLetterQueue`] to either.

mod alerts;
pub mod cli;
pub mod config;
pub mod dead_letter_queue;
pub mod demo;
pub mod document;
pub mod earlier_observers;
pub mod error;
pub mod executor;
pub mod logging;
pub mod observer_file;
pub mod observers;
mod open_files;
pub mod output;
pub mod pipeline;
pub mod plugins;
#[cfg(test)]
mod sample;
mod services;
pub mod source;
pub mod testing;
pub mod wiring;

pub use aftercommit_core::{
    ActionConfig, BackoffStrategy, Clock, EntityEvent, EventKind, FailurePolicy, ObserverDefinition,
    Ordering, RetryConfig, SystemClock, Timestamp,
};
pub use dead_letter_queue::{DeadLetterQueue, DlqItem};
pub use error::{Error, Result};
pub use executor::{ExecutionSummary, ObserverExecutor};
pub use observers::EventMatcher;
pub use pipeline::{DeadLetterDrain, Feeder, Host, HostSettings};
pub use plugins::Catalog;
pub use source::EventSource;

/// Compiles the examples of the library's page.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
struct LibraryPage;
