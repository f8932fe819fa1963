//! A call of a plugin, from an action and an event to an attempt.
//!
//! ```text
//! action (configured once) ── admission: capacity for one call ──▶ run or batch ──▶ instance: fresh, or kept (warm)
//!                                                                     │
//!                                   result ◀── cpu: budget and ticks, on the host's threads or in the compute pool
//! ```

pub(crate) mod action;
pub(crate) mod address;
pub(crate) mod admission;
pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod callee;
pub(crate) mod compute_pool;
pub(crate) mod contacts;
pub(crate) mod cpu;
pub(crate) mod cpu_profile;
pub(crate) mod denials;
pub(crate) mod event;
pub(crate) mod guest;
pub(crate) mod guest_request;
pub(crate) mod instance;
pub(crate) mod rendering;
pub(crate) mod result;
pub(crate) mod run;
pub(crate) mod warm;
