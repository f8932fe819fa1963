//! Integration tests: the real binary as real processes, real databases, real components, a real receiver.

#![expect(clippy::unwrap_used, reason = "tests: what can not be had fails the test")]

mod actions;
mod alerts;
mod alone;
mod apply_wait;
mod batch;
mod bombs;
mod clocks;
mod crash;
mod delivery;
mod denied;
mod destinations;
mod host_process;
mod hostile;
mod hot;
mod library;
mod losses;
mod lost;
mod memory_group;
mod nginx;
mod open_files;
mod postgres;
mod readme;
mod rotation;
mod secrets;
mod shop;
mod soak;
mod sqlite_file;
mod webhook;
