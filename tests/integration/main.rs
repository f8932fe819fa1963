//! Integration tests: the real binary as real processes, a real database file, real components, a real receiver.

mod crash;
mod delivery;
mod lost;
mod readme;
mod shop;
mod webhook;
