//! Where calls of an action begin: beside those who need little, or in a lane.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What an action's calls have shown. They begin in a lane until one of them needed little, and again after one that
/// computed: so many that begin at once, and all compute, hold no thread that others need.
#[derive(Default, Debug)]
pub(crate) struct Standing {
    light: AtomicBool,
}

impl Standing {
    pub(crate) fn is_light(&self) -> bool {
        self.light.load(Relaxed)
    }

    /// Calls that begin from now on are taken for such.
    pub(crate) fn set_light(&self, light: bool) {
        // Many calls at once would otherwise take the line from each other.
        if self.is_light() != light {
            self.light.store(light, Relaxed);
        }
    }
}
