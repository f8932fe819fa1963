//! Observers, compiled: from the rows of `tb_observer` to one immutable snapshot that the pipeline works with.
//!
//! An observer has two halves. The [`Watcher`] decides which events it wants; it needs no plugin. Its [`Action`]s say
//! what to run. If only the second half is broken, events are still matched and their deliveries wait.

mod action;
mod matcher;
mod preview;
mod snapshot;
pub mod uncaptured;
mod watcher;

pub use action::{Action, Policy};
pub use matcher::EventMatcher;
pub use preview::{Matches, Preview};
pub use snapshot::{Entry, Snapshot};
pub use watcher::Watcher;
