//! The durable half of aftercommit.
//!
//! One narrow trait for each caller, in its words; two backends behind them. The two halves of the host, before and
//! after a delivery is durable, meet only here.
//!
//! | trait | caller |
//! |---|---|
//! | [`Intake`] | intake: takes inbox rows, makes deliveries |
//! | [`Claims`] | dispatch: claims, completes, hands back |
//! | [`Suspects`] | recovery: claims with care what was lost with its host |
//! | [`Hosts`] | upkeep: heartbeat, takeover |
//! | [`Holds`] | dispatch: what is held back; `destinations`: shows, lifts |
//! | [`LearnedRates`] | dispatch: the rates that receivers take; `destinations`: shows |
//! | [`Retention`] | upkeep: drops what is old |
//! | [`Waits`] | upkeep: keeps waits as long as they were meant to be |
//! | [`Definitions`] | reload and `observers`: the table `tb_observer` |
//! | [`Captures`] | `capture`: triggers on the application's tables |
//! | [`Backfills`] | `capture backfill`: events of rows that were there before |
//! | [`Events`] | `events`: emits and shows |
//! | [`Quarantine`] | `quarantine`: rows that could not become events |
//! | [`Deliveries`] | `deliveries`: shows |
//! | [`DeadLetters`] | `dlq`: shows, replays, discards |
//! | [`Schema`] | `migrate`, and every start |
//! | [`Transactions`] | whoever watches a host |

mod attempt_record;
pub mod backfill;
mod capture_command;
pub mod captures;
pub mod change_log;
mod claim_share;
pub mod claims;
mod commands;
#[cfg(feature = "conformance")]
#[expect(clippy::unwrap_used, reason = "tests: what can not be had fails the case")]
pub mod conformance;
pub mod dead_letters;
pub mod definitions;
pub mod deliveries;
pub mod earlier_observers;
mod error;
mod event_order;
pub mod events;
pub mod holds;
pub mod hosts;
pub mod intake;
mod intake_batch;
pub mod learned_rates;
mod migration;
#[cfg(all(test, feature = "conformance"))]
mod moves;
mod observer_change;
mod odd_delivery;
pub mod page;
pub mod postgres;
pub mod quarantine;
mod readable;
pub mod retention;
mod row;
pub mod schema;
pub mod sqlite;
pub mod suspects;
mod transactions;
pub mod waits;

pub use attempt_record::AttemptRecord;
pub use backfill::{Backfill, BackfillRequest, Backfills};
pub use captures::{Capture, CaptureRequest, CaptureStatus, Captures, ChangeLogRequest, Selection};
pub use change_log::ChangeLogField;
pub use claim_share::{ClaimFirst, ClaimShare};
pub use claims::{
    ClaimRequest, ClaimedDelivery, Claims, Completion, CompletionReport, End, Lane, RunLengths,
};
pub use dead_letters::{DeadLetter, DeadLetterFilter, DeadLetterPlace, DeadLetters, HistoryEntry};
pub use definitions::{Applied, Definitions, ObserverRow, ObserverTable};
pub use deliveries::{Deliveries, DeliveryFilter, DeliveryPlace, DeliveryRow};
pub use earlier_observers::{EarlierObserver, EarlierObservers};
pub use error::{Result, StoreError};
pub use event_order::EventOrder;
pub use events::{EventFilter, EventHistory, EventPlace, Events};
pub use holds::{Hold, HoldState, Holds, Lift, Target};
pub use hosts::{HostId, HostRow, Hosts, TakenOver};
pub use intake::{ConditionError, Intake, NewDelivery, Plan, Planned, TakeRequest, Taken};
pub use learned_rates::{LearnedRates, PacedTarget};
pub use page::Page;
pub use postgres::{PostgresOptions, PostgresStore};
pub use quarantine::{Quarantine, QuarantinedImage, QuarantinedRow};
pub use retention::{Purged, Retention, RetentionLimits};
pub use schema::{AppliedMigration, Schema};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use suspects::{Suspects, Trial};
pub use transactions::{LockHeld, TransactionCount, Transactions};
pub use waits::{IN_THE_FUTURE, Waits};

/// All that a backend does.
pub trait Backend:
    Intake
    + Claims
    + Suspects
    + Hosts
    + Holds
    + LearnedRates
    + Retention
    + Waits
    + Definitions
    + Captures
    + Backfills
    + Events
    + Quarantine
    + Deliveries
    + DeadLetters
    + Schema
    + EarlierObservers
    + Transactions
{
}

impl<T> Backend for T where
    T: Intake
        + Claims
        + Suspects
        + Hosts
        + Holds
        + LearnedRates
        + Retention
        + Waits
        + Definitions
        + Captures
        + Backfills
        + Events
        + Quarantine
        + Deliveries
        + DeadLetters
        + Schema
        + EarlierObservers
        + Transactions
{
}
