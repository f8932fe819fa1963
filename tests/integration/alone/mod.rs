//! Tests that run one after another, with nothing beside them: `cargo xtask test` leaves them out of its step with all tests and has
//! a step for them. They kill servers while hosts keep up with writers, or measure memory, and either takes both
//! processors of a small machine.

mod large_rows;
mod long_lists;
mod pooled_sessions;
mod storm;
