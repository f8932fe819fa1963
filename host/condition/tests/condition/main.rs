//! The condition language from outside: what its page promises, what its diagnostics say, and what holds for any text
//! and any row.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod diagnostics;
mod generate;
mod hostile;
mod page;
mod reference;
mod roundtrip;
mod semantics;
mod sql;
