//! Whether an action's calls are known to need little, or to compute: it decides where they begin.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What calls of an action have shown so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Shown {
    /// None has come far enough to tell.
    Nothing,
    /// The last one that told needed little.
    Light,
    /// The last one that told computes.
    Heavy,
}

/// What an action has shown, for all of its calls.
#[derive(Default, Debug)]
pub(crate) struct Standing(AtomicU8);

impl Standing {
    pub(crate) fn shown(&self) -> Shown {
        match self.0.load(Relaxed) {
            1 => Shown::Light,
            2 => Shown::Heavy,
            _ => Shown::Nothing,
        }
    }

    pub(crate) fn show(&self, shown: Shown) {
        // Many calls at once would otherwise take the line from each other.
        if self.shown() != shown {
            self.0.store(shown as u8, Relaxed);
        }
    }
}
