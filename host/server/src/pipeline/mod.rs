//! A running host: from the inbox to the outcome, and the duties beside it.
//!
//! The cast. `intake` takes what was committed and makes deliveries; the first of them it owns at once. `claimer`
//! claims what waits in the store: retries that are due, deliveries that had no room; `retry_share` divides its claims between them. `recovery` claims, with care, those of
//! hosts that died. All hand what they own to `dispatch`, which runs each delivery in a task of its own, bounded in all and by destination;
//! `batching` gathers those that run in one call; `runs` runs those of one ordering key one after the other in one task.
//! `completer` writes what became of them, in batches. `upkeep` keeps the host alive in the eyes of the others, takes
//! over from those that are not, reloads observers and drops what is old. For programs that embed the host, `feeder` and
//! `dead_letter_drain` join their own source of events and their own dead letter queue to it.
//!
//! Ownership is a [`Place`](room::Place): nobody owns more deliveries than there are places, and a place is free
//! again only when the end of its delivery is durable. With it the host gets back the memory that the delivery's event was
//! charged (`event_memory`). What a host owns and has no place for (an answer of the database
//! was lost) `upkeep` frees. What is not guaranteed: that an action runs once only.

mod batching;
mod claimable;
mod claimer;
mod clock;
mod completer;
mod conclusion;
mod counters;
mod dead_letter_drain;
mod destinations;
mod dispatch;
mod event_memory;
mod fatal;
mod feeder;
mod host;
mod intake;
mod lease;
mod lookup;
mod patience;
mod plan;
mod recovery;
mod retry_share;
mod room;
mod runs;
mod secrets;
mod upkeep;

pub use counters::{Counters, Health};
pub use dead_letter_drain::DeadLetterDrain;
pub use feeder::Feeder;
pub use host::{Host, HostSettings};
