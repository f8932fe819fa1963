//! What the audit tells of an action. A guest may ask for what it is not granted as often as it may call the host; the log
//! has a few lines of that in full, and the number of the others.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use parking_lot::Mutex;

use super::Permit;

/// Different lines of an attempt that are told in full. An honest plugin that is not configured well has one or two.
const TOLD: usize = 8;

/// What was told since an attempt of the action ended. Attempts at the same time share it, and the end of any of them begins
/// it anew.
#[derive(Default)]
pub(crate) struct Audit(Mutex<State>);

#[derive(Default)]
struct State {
    told: Vec<u64>,
    more: u64,
}

impl Audit {
    /// Whether a line is to be told: the first of its kind, while there are few kinds. The others are counted.
    pub(crate) fn admits(&self, kind: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        kind.hash(&mut hasher);
        let kind = hasher.finish();
        let mut state = self.0.lock();
        if state.told.len() >= TOLD || state.told.contains(&kind) {
            state.more += 1;
            return false;
        }
        state.told.push(kind);
        true
    }

    /// Lines that were not told; the next is the first again.
    fn end(&self) -> u64 {
        let mut state = self.0.lock();
        state.told.clear();
        std::mem::take(&mut state.more)
    }
}

impl Permit {
    /// An attempt has ended: tells how often it did again what was told, or more than was told.
    pub(crate) fn end_of_attempt(&self) {
        let more = self.audit.end();
        if more > 0 {
            tracing::warn!(
                target: "aftercommit::audit",
                plugin = self.who.plugin,
                observer = self.who.observer,
                action = self.who.action,
                more,
                "a plugin went on with what the audit has told"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_few_kinds_are_told_and_the_rest_is_counted() {
        let audit = Audit::default();
        assert!(audit.admits("a") && !audit.admits("a") && audit.admits("b"));
        let told = (0..100).filter(|number| audit.admits(number)).count();
        assert_eq!((told, audit.end()), (TOLD - 2, 1 + 100 - 6));
        assert!(audit.admits("a") && audit.admits(7));
        assert_eq!(audit.end(), 0);
    }
}
