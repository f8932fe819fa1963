//! The protocol by which hosts share deliveries on PostgreSQL, gone through as a whole by a model checker: every order
//! in which two hosts, the application, a person, time and faults can act, within bounds.
//!
//! **What is modelled.** The tables as far as the protocol reads them, with the statements and triggers that change them
//! (`tables`); what a host has in memory (`host`); its transactions (`transactions`) and what it does between them
//! (`protocol`); when each can happen (`enabled`); and what happens to hosts and to the server (`fate`). The legal moves
//! and the verdict on an attempt are not written again: the model asks the product's own functions. A run (deliveries of one
//! entity that a host claims together) is of two.
//!
//! A transaction is one step, since locks keep true what it reads until it commits. Intake is two: what it has locked
//! others pass over. That a commit is done and its answer lost is a step of its own; so is the effect of an action.
//! That an answer comes is none: the code looks for what it does not know of only while it claims nothing.
//! A host that stalls is one that is not chosen for a while: it goes on later with what it had in memory. Time is
//! abstract: a heartbeat may become too old at any moment, and a waiting delivery may always be due.
//!
//! **Bounds.** Two hosts with places for two deliveries each, two or three events with one delivery each, two or three attempts,
//! and of each fault as many as a test says (`bounds`), mostly one or two; a host that crashed or stopped starts again, each
//! time as another one. The tests of `real` go through all that is possible within their bounds.
//!
//! **What must hold** is in `properties`, and that nothing goes on for ever in `liveness`. `broken` takes out one rule at a time
//! and asks for the counterexample.
//!
//! **What is not modelled.** More than two hosts or events, and all faults at once. What goes on within a transaction:
//! that the statements find and lock what they should is for the other tests of this crate. Disabled and removed
//! observers, events put into the inbox again by hand, quarantine, retention, discarded dead letters. Order after a
//! crash of the server: what ended and comes back runs after its successors. Receivers: that an effect happens once.

mod bounds;
mod broken;
mod enabled;
mod fate;
mod host;
mod liveness;
mod properties;
mod protocol;
mod real;
mod rules;
mod search;
mod state;
mod step;
mod tables;
mod transactions;
