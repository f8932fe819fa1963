//! How far back intake looks into the inbox.
//!
//! Rows that were taken stay in the table and its index until no open transaction could still see them. While somebody
//! holds a snapshot for minutes, millions of them lie before the first row that is there, and whoever begins at the
//! first steps over all. So when that has become long, intake goes on behind what it took last, and looks at the whole
//! only now and then: rows of transactions that commit late are found by that, a little later. The same, on a smaller
//! scale, goes on between two runs of vacuum.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Pages of the table and its index that a look may touch and count as short: a tenth of a millisecond.
const SHORT_PAGES: i64 = 64;

/// After a long look at the whole, so many times as long nobody looks at the whole: it takes a fiftieth of the time.
const REST: u32 = 49;

/// Nobody who commits late should wait longer than this, if that takes no more than a tenth of the time.
const LONG_REST: Duration = Duration::from_millis(500);
const LEAST_REST: u32 = 9;

/// Where the next look begins.
#[derive(Debug, Default)]
pub(super) struct Reach(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last place of which all was taken.
    taken: i64,
    /// Until then the whole is not looked at.
    rest_until: Option<Instant>,
}

impl Reach {
    /// The place behind which to look now; 0 for the whole.
    pub(super) fn start(&self, now: Instant) -> i64 {
        let state = self.state();
        if state.rest_until.is_some_and(|until| now < until) { state.taken } else { 0 }
    }

    /// A look behind `start` has touched so many pages and taken so long.
    pub(super) fn looked(&self, start: i64, pages: i64, took: Duration, now: Instant) {
        if start == 0 {
            self.state().rest_until = (pages > SHORT_PAGES).then(|| now + rest(took));
        }
    }

    /// The rows up to this place, and all of them there, were taken, as far as they could be seen.
    pub(super) fn took(&self, place: i64) {
        let mut state = self.state();
        state.taken = state.taken.max(place);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to rest after a look that took so long.
fn rest(took: Duration) -> Duration {
    (took * REST).min(LONG_REST.max(took * LEAST_REST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_looked_at_each_time_while_that_is_short() {
        let (reach, now) = (Reach::default(), Instant::now());
        reach.took(500);
        reach.looked(0, SHORT_PAGES, Duration::from_secs(1), now);
        assert_eq!(reach.start(now), 0);
    }

    #[test]
    fn after_a_long_look_the_next_begin_behind_what_was_taken_for_a_while() {
        let (reach, now) = (Reach::default(), Instant::now());
        reach.took(500);
        reach.took(400);
        reach.looked(0, SHORT_PAGES + 1, Duration::from_millis(2), now);
        assert_eq!(reach.start(now + Duration::from_millis(97)), 500);
        reach.looked(500, 1, Duration::from_millis(1), now + Duration::from_millis(97));
        assert_eq!(reach.start(now + Duration::from_millis(98)), 0);
    }

    #[test]
    fn a_rest_is_short_until_looks_are_long() {
        let millis = Duration::from_millis;
        assert_eq!(rest(millis(1)), millis(49));
        assert_eq!(rest(millis(20)), millis(500));
        assert_eq!(rest(millis(100)), millis(900));
    }
}
