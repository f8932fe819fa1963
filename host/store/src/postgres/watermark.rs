//! Where intake begins to read the inbox, so that it never passes over a row that it can see.
//!
//! Rows that were taken stay in the table and its index until no open transaction could still see them. While somebody
//! holds a snapshot for minutes, millions of them lie before the first row that is there, and a scan from the start of the inbox
//! steps over all. So a scan begins at the *watermark*: a place up to which all visible rows were taken. A row can still
//! become visible below it, when a transaction commits that was running at that time. Each of those is kept with a floor, and
//! its rows lie above that: a transaction takes places only once it has its number (xid), and it had none when the place
//! of the floor was already given out.
//!
//! ```text
//!     taken ........................ | floor of 41 ......... | floor of 57 ... | watermark | rows to take
//!     next scan: 41 and 57 still run -> at the watermark;   57 has ended -> at its floor
//! ```
//!
//! A scan sees which of them have ended by the same snapshot as the rows, so a later change of a row is never seen without
//! the earlier one. A crash of the server can lose commits of the host, and rows that were taken come back. No session
//! outlives such a crash, so each session is marked (a setting of its own) by its first scan, which covers the whole inbox.
//!
//! Rows that come in other ways (those with the place 0, those that another program had locked) are found by a scan of the
//! whole inbox: each time while that is short, else a fiftieth of the time.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

/// Pages of the table and its index that a scan may touch and count as short: a tenth of a millisecond.
const SHORT_PAGES: i64 = 64;

/// After a long scan of the whole inbox, none follows for so many times as long: it takes a fiftieth of the time.
const REST: u32 = 49;

/// A row that only a whole scan finds should not wait longer than this, if that takes no more than a tenth of the time.
const LONG_REST: Duration = Duration::from_millis(500);
const LEAST_REST: u32 = 9;

/// All places are above it; rows that point at an event have the place 0.
const START: i64 = -1;

/// All rows up to a place were taken that were visible in one snapshot of the database, and what was running then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Watermark {
    place: i64,
    /// Numbers of transactions, each with its floor.
    running: Vec<(i64, i64)>,
}

impl Watermark {
    /// Nothing is known.
    const NONE: Self = Self { place: START, running: Vec::new() };

    /// Right before this place.
    pub(super) const fn before(place: i64) -> Self {
        Self { place: place - 1, running: Vec::new() }
    }

    pub(super) const fn place(&self) -> i64 {
        self.place
    }

    /// The numbers of transactions, and their floors.
    pub(super) fn running(&self) -> (Vec<i64>, Vec<i64>) {
        self.running.iter().copied().unzip()
    }

    /// After a scan from this watermark, up to a place, with a snapshot as PostgreSQL writes it: `xmin:xmax:xid,xid`.
    pub(super) fn raised(&self, place: i64, snapshot: &str) -> Self {
        let Some(xids) = running_in(snapshot) else { return Self::NONE };
        let floor = |xid| {
            self.running.iter().find(|(known, _)| *known == xid).map_or(self.place, |(_, floor)| *floor)
        };
        Self { place, running: xids.into_iter().map(|xid| (xid, floor(xid))).collect() }
    }
}

fn running_in(snapshot: &str) -> Option<Vec<i64>> {
    let xids = snapshot.split(':').nth(2)?;
    xids.split(',').filter(|xid| !xid.is_empty()).map(|xid| xid.parse().ok()).collect()
}

/// How far this host has read the inbox.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    /// Marks the sessions in which this host has scanned the whole inbox.
    mark: String,
}

#[derive(Debug)]
struct State {
    watermark: Watermark,
    /// Until then no scan covers the whole inbox.
    rest_until: Option<Instant>,
}

/// One scan, and what is to be known of the inbox before it.
pub(super) struct Scan<'p> {
    /// From where the result raises the watermark.
    known: Watermark,
    /// Where the scan begins.
    pub(super) from: Watermark,
    pub(super) mark: &'p str,
}

impl Default for Progress {
    fn default() -> Self {
        let state = Mutex::new(State { watermark: Watermark::NONE, rest_until: None });
        Self { state, mark: Uuid::new_v4().simple().to_string() }
    }
}

impl Progress {
    /// A scan of the whole inbox if it is time for one.
    pub(super) fn look(&self, now: Instant) -> Scan<'_> {
        let state = self.state();
        let rests = state.rest_until.is_some_and(|until| now < until);
        let known = state.watermark.clone();
        let from = if rests { known.clone() } else { Watermark::NONE };
        Scan { known, from, mark: &self.mark }
    }

    /// A scan from the watermark.
    pub(super) fn scan(&self) -> Scan<'_> {
        let known = self.state().watermark.clone();
        Scan { from: known.clone(), known, mark: &self.mark }
    }

    /// The scan has touched so many pages and taken so long.
    pub(super) fn looked(&self, scan: &Scan<'_>, pages: i64, took: Duration, now: Instant) {
        if scan.from == Watermark::NONE {
            self.state().rest_until = (pages > SHORT_PAGES).then(|| now + rest(took));
        }
    }

    pub(super) fn set(&self, watermark: Watermark) {
        self.state().watermark = watermark;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Scan<'_> {
    /// The watermark after the scan. `is_marked`: whether its session was marked before; one that was not scanned the whole
    /// inbox, and what was known before does not count.
    pub(super) fn raised(&self, place: i64, snapshot: &str, is_marked: bool) -> Watermark {
        let known = if is_marked { &self.known } else { &Watermark::NONE };
        known.raised(place, snapshot)
    }
}

/// How long to rest after a scan that took so long.
fn rest(took: Duration) -> Duration {
    (took * REST).min(LONG_REST.max(took * LEAST_REST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_inbox_is_scanned_each_time_while_that_is_short() {
        let (progress, now) = (Progress::default(), Instant::now());
        progress.set(Watermark::before(501));
        progress.looked(&progress.look(now), SHORT_PAGES, Duration::from_secs(1), now);
        assert_eq!(progress.look(now).from, Watermark::NONE);
    }

    #[test]
    fn after_a_long_scan_the_next_begin_at_the_watermark_for_a_while() {
        let (progress, now) = (Progress::default(), Instant::now());
        progress.set(Watermark::before(501));
        progress.looked(&progress.look(now), SHORT_PAGES + 1, Duration::from_millis(2), now);
        let later = now + Duration::from_millis(97);
        assert_eq!(progress.look(later).from.place(), 500);
        progress.looked(&progress.look(later), 1, Duration::from_millis(1), later);
        assert_eq!(progress.look(now + Duration::from_millis(98)).from, Watermark::NONE);
    }

    #[test]
    fn a_transaction_keeps_the_floor_with_which_it_was_first_seen() {
        let first = Watermark::before(501).raised(600, "41:58:41,57");
        assert_eq!(first.running(), (vec![41, 57], vec![500, 500]));
        let second = first.raised(700, "57:70:57,64");
        assert_eq!((second.place(), second.running()), (700, (vec![57, 64], vec![500, 600])));
        assert_eq!(second.raised(800, "70:70:"), Watermark { place: 800, running: Vec::new() });
        assert_eq!(second.raised(800, "odd"), Watermark::NONE);
    }

    #[test]
    fn what_was_known_does_not_count_in_a_session_that_is_not_marked() {
        let progress = Progress::default();
        progress.set(Watermark::before(501));
        assert_eq!(progress.scan().raised(700, "41:42:41", false).running(), (vec![41], vec![START]));
        assert_eq!(progress.scan().raised(700, "41:42:41", true).running(), (vec![41], vec![500]));
    }

    #[test]
    fn a_rest_is_short_until_scans_are_long() {
        let millis = Duration::from_millis;
        assert_eq!(rest(millis(1)), millis(49));
        assert_eq!(rest(millis(20)), millis(500));
        assert_eq!(rest(millis(100)), millis(900));
    }
}
