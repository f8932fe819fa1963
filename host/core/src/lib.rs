//! The records of aftercommit and what may happen to them: events, observers, deliveries, the legal moves between a
//! delivery's states, the arithmetic of retries, and what protects a destination.
//!
//! This crate is pure. It knows no database, no engine and no clock of its own: time and randomness are arguments.

pub mod action;
pub mod alert;
pub mod breaker;
pub mod code;
pub mod delivery;
pub mod event;
pub mod evidence;
pub mod host_failure;
pub mod learned_rate;
pub mod loss;
pub mod masking;
mod nearest;
pub mod number;
pub mod observer;
pub mod outcome;
pub mod plain;
pub mod refusals;
pub mod retry;
mod shell;
pub mod time;
pub mod token_bucket;

pub use action::{ActionConfig, BatchConfig};
pub use alert::{Alert, alert_of, alert_span};
pub use breaker::{Breaker, BreakerSettings, BreakerState, FailedCall};
pub use code::Code;
pub use delivery::{DeliveryId, DeliveryState, IllegalMove, Move};
pub use event::{EntityEvent, EventKind};
pub use evidence::{DestinationEvidence, EndpointEvidence, Scope};
pub use host_failure::{Fault, HostFailure};
pub use learned_rate::LearnedRate;
pub use loss::{Care, Losses};
pub use masking::{Masked, mask, without_password};
pub use nearest::nearest;
pub use observer::{FailurePolicy, ObserverDefinition, Ordering};
pub use outcome::{AttemptResult, Failure, FailureClass, Outcome, Problem, Verdict};
pub use refusals::{RefusedAddresses, RefusedShare};
pub use retry::{BackoffStrategy, RetryConfig};
pub use shell::{shell_command, shell_option, shell_word};
pub use time::{Clock, SystemClock, Timestamp};
pub use token_bucket::{Rate, TokenBucket};
