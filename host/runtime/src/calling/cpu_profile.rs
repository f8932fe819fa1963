//! The CPU profile of an action: whether its calls are short or compute. It decides where the next call begins.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// How much processor time the calls of an action need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum CpuClass {
    /// No call has run long enough to decide.
    Unknown,
    /// The last call that decided was short.
    Light,
    /// The last call that decided computes.
    Heavy,
}

/// The profile of one action, shared by all of its calls.
#[derive(Default, Debug)]
pub(crate) struct CpuProfile(AtomicU8);

impl CpuProfile {
    pub(crate) fn class(&self) -> CpuClass {
        match self.0.load(Relaxed) {
            1 => CpuClass::Light,
            2 => CpuClass::Heavy,
            _ => CpuClass::Unknown,
        }
    }

    pub(crate) fn record(&self, class: CpuClass) {
        // Writing an equal value would take the cache line from the other calls.
        if self.class() != class {
            self.0.store(class as u8, Relaxed);
        }
    }
}
