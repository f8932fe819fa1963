//! The time, by the host's clock.

/// Milliseconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn now_ms() -> u64 {
    crate::bindings::aftercommit::action::clock::now_ms()
}

/// Whole seconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn now_secs() -> u64 {
    now_ms() / 1000
}
