//! Bytes that the host holds for one guest outside of the guest's memory: bodies that wait to be sent, or to be read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What is held for a guest now, all bodies together.
#[derive(Clone, Default, Debug)]
pub(super) struct Holdings(Arc<AtomicUsize>);

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    all: Holdings,
    bytes: usize,
}

impl Holdings {
    /// Holds nothing yet.
    pub(super) fn none(&self) -> Held {
        Held { all: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Holds so many bytes more; false, and nothing more is held, if the guest would then have more than `most`.
    #[must_use]
    pub(super) fn grow(&mut self, more: usize, most: usize) -> bool {
        let before = self.all.0.fetch_add(more, Relaxed);
        if before.saturating_add(more) > most {
            self.all.0.fetch_sub(more, Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_held_counts_until_it_is_dropped() {
        let holdings = Holdings::default();
        let (mut first, mut second) = (holdings.none(), holdings.none());
        assert!(first.grow(60, 100) && second.grow(40, 100));
        assert!(!second.grow(1, 100));
        drop(first);
        assert!(second.grow(60, 100));
        drop(second);
        assert_eq!(holdings.0.load(Relaxed), 0);
    }
}
