//! The time that all hosts of a database go by, and what becomes of it when a clock is set.
//!
//! Hosts compare what they write: heartbeats, and when deliveries are due. The clocks of their machines may differ by
//! more than the lease. So a host asks the database what time it is, before each heartbeat and before it looks for hosts
//! that are gone, and goes by that time. All hosts of an SQLite database have one machine, and its clock.
//!
//! In between, time passes by the monotonic clock, which nobody sets. So a clock that is set (by a person, by NTP, while the
//! machine sleeps) shows as a jump when it is looked at next: that is logged, and hosts have the time of a lease to write
//! heartbeats by the new time before anyone takes them for dead. What this process alone decides, such as how long it leaves
//! a destination alone, goes by [steady](CommonClock::steady) time, which never jumps.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicI64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use aftercommit_core::{Clock, Timestamp};
use aftercommit_store::{Backend, Result};
use tokio::sync::Notify;

/// A difference that a person should know of: the log of attempts and other programs' logs do not fit.
const NOTABLE_US: u64 = 1_000_000;

/// Longer than any two clocks differ, and within what every database can write.
const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);

/// The time of the database, or of the machine where that is the same.
pub(super) struct CommonClock {
    wall: Arc<dyn Clock>,
    steady: Steady,
    /// What time it was when `steady` began, by what is known now; in microseconds since 1970.
    origin_us: AtomicI64,
    is_set: AtomicBool,
    last_jump: Mutex<Option<Instant>>,
    jumped: Notify,
}

/// The time by the monotonic clock, which no one sets.
#[derive(Clone, Copy)]
struct Steady {
    began: Instant,
    /// What time it was then, as far as it was known.
    origin_us: i64,
}

impl CommonClock {
    /// One that goes by `wall` until it is set.
    pub(super) fn new(wall: Arc<dyn Clock>) -> Self {
        let origin_us = wall.now().as_micros();
        Self {
            wall,
            steady: Steady { began: Instant::now(), origin_us },
            origin_us: AtomicI64::new(origin_us),
            is_set: AtomicBool::new(false),
            last_jump: Mutex::default(),
            jumped: Notify::new(),
        }
    }

    /// Sets it; returns what time it was when the database was asked. If the answer comes late, others seem younger by that
    /// time than they are, never older.
    pub(super) async fn set_by(&self, store: &dyn Backend) -> Result<Timestamp> {
        let asked = self.steady.elapsed_us();
        let (there, here) = match store.database_time().await? {
            // The database looked at its clock at some moment between the question and the answer.
            Some(there) => (there, i64::midpoint(asked, self.steady.elapsed_us())),
            None => (self.wall.now(), self.steady.elapsed_us()),
        };
        let origin = there.as_micros().saturating_sub(here);
        let before = self.origin_us.swap(origin, SeqCst);
        let was_set = self.is_set.swap(true, SeqCst);
        if origin.abs_diff(before) > NOTABLE_US {
            if was_set {
                self.has_jumped(before, origin);
            } else {
                tracing::warn!(
                    here = %self.wall.now(),
                    database = %there,
                    "this machine's clock and the database's differ; this host goes by the database's"
                );
            }
        }
        Ok(there)
    }

    fn has_jumped(&self, before_us: i64, now_us: i64) {
        let by = Duration::from_micros(now_us.abs_diff(before_us));
        if now_us < before_us {
            tracing::warn!(?by, "the clock was set back; what waits is to wait no longer for that");
        } else {
            tracing::warn!(
                ?by,
                "the clock was set ahead, or the machine slept; what waits may be due earlier"
            );
        }
        *self.last_jump.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.jumped.notify_one();
    }

    /// Returns when the clock has jumped.
    pub(super) async fn jumped(&self) {
        self.jumped.notified().await;
    }

    /// The heartbeats of hosts that live, by a lease of `lease_timeout`: none older, and none that a clock wrote which was set back
    /// since. After a jump all hosts have the time of a lease to write another.
    pub(super) fn alive(&self, now: Timestamp, lease_timeout: Duration) -> RangeInclusive<Timestamp> {
        let last_jump = *self.last_jump.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |since: Instant| since.elapsed() < lease_timeout;
        let oldest = if last_jump.is_some_and(is_recent) { CENTURY } else { lease_timeout };
        // A jump before this host began is none that it has seen.
        let newest = if is_recent(last_jump.unwrap_or(self.steady.began)) { CENTURY } else { lease_timeout };
        now.minus(oldest)..=now.plus(newest)
    }

    /// Time that never jumps, for what this process alone decides. It began with the time of the machine.
    pub(super) fn steady(&self) -> Arc<dyn Clock> {
        Arc::new(self.steady)
    }

    /// The time at which all hosts are when this one's steady time is `at`.
    pub(super) fn of_steady(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_micros(at.as_micros().saturating_add(self.ahead_us()))
    }

    /// The steady time at which all hosts are at `at`.
    pub(super) fn to_steady(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_micros(at.as_micros().saturating_sub(self.ahead_us()))
    }

    fn ahead_us(&self) -> i64 {
        self.origin_us.load(Relaxed).saturating_sub(self.steady.origin_us)
    }
}

impl Clock for CommonClock {
    fn now(&self) -> Timestamp {
        self.of_steady(self.steady.now())
    }
}

impl Steady {
    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.origin_us.saturating_add(self.elapsed_us()))
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_core::SystemClock;
    use aftercommit_store::{HostId, PostgresOptions, PostgresStore, Schema as _};
    use aftercommit_tests::Cluster;

    use super::*;
    use crate::pipeline::{
        HostSettings,
        dispatch::Dispatch,
        upkeep::{heartbeat::beat, takeover::take_over},
    };

    const LEASE: Duration = Duration::from_secs(30);

    /// The machine's clock, so many hours ahead.
    struct Ahead(i64);

    impl Clock for Ahead {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(SystemClock.now().as_micros() + self.0 * 3_600_000_000)
        }
    }

    async fn host(store: &Arc<dyn Backend>, own: Arc<dyn Clock>) -> Arc<Dispatch> {
        let clock = Arc::new(CommonClock::new(own));
        let (dispatch, _) =
            Dispatch::new(HostId::random(), Arc::clone(store), clock, &HostSettings::default());
        let now = dispatch.clock.set_by(&**store).await.unwrap();
        store.register(dispatch.host, "box", now).await.unwrap();
        dispatch
    }

    #[tokio::test]
    async fn hosts_whose_clocks_are_hours_apart_leave_each_other_alone() {
        let cluster = Cluster::start();
        let store = PostgresStore::open(&cluster.url("postgres"), PostgresOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        let store: Arc<dyn Backend> = Arc::new(store);
        let mut hosts = Vec::new();
        for ahead in [-1, 0, 1] {
            hosts.push(host(&store, Arc::new(Ahead(ahead))).await);
        }
        let entered = store.hosts().await.unwrap();
        assert_eq!(entered.len(), 3);
        for host in &hosts {
            take_over(host, LEASE).await.unwrap();
            beat(host, "box").await.unwrap();
        }
        for host in &hosts {
            take_over(host, LEASE).await.unwrap();
            assert_eq!(host.counters.read().taken_over, 0);
        }
        let started = |rows: &[aftercommit_store::HostRow]| {
            rows.iter().map(|row| (row.id, row.started_at)).collect::<Vec<_>>()
        };
        let now = store.hosts().await.unwrap();
        assert_eq!(started(&now), started(&entered), "none was removed, and none entered again");
        let times: Vec<_> = hosts.iter().map(|host| host.clock.now()).collect();
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(last.since(*first) < LEASE, "what is due for one is due for all: {times:?}");
    }

    /// All hosts of an SQLite database have the clock of its machine.
    #[tokio::test]
    async fn a_host_of_sqlite_keeps_its_own_time() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/test.db", folder.path().display());
        let options = aftercommit_store::SqliteOptions { create: true, ..Default::default() };
        let store = aftercommit_store::SqliteStore::open(&url, options).await.unwrap();
        let clock = CommonClock::new(Arc::new(Ahead(1)));
        let told = clock.set_by(&store).await.unwrap();
        assert!(told.since(SystemClock.now()) > LEASE);
        assert!(clock.now() >= told);
    }

    /// A clock that is set by hand, and stands still.
    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Relaxed))
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_jumps_when_it_is_looked_at_and_steady_time_does_not() {
        const HOUR_US: i64 = 3_600_000_000;
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/test.db", folder.path().display());
        let options = aftercommit_store::SqliteOptions { create: true, ..Default::default() };
        let store = aftercommit_store::SqliteStore::open(&url, options).await.unwrap();
        let wall = Arc::new(Hand(AtomicI64::new(100 * HOUR_US)));
        let clock = CommonClock::new(wall.clone());
        let first = clock.set_by(&store).await.unwrap();
        let (steady, none) = (clock.steady(), Duration::ZERO);
        assert_eq!(clock.alive(first, none), first..=first);
        assert!(clock.alive(first, LEASE).contains(&first.plus(CENTURY)), "another may have seen a jump");
        assert!(!clock.alive(first, LEASE).contains(&first.minus(2 * LEASE)), "this one has seen none");

        wall.0.store(99 * HOUR_US, Relaxed);
        let (before, steadily) = (clock.now(), steady.now());
        assert!(before >= first, "nothing is known of it before the clock is looked at");
        let back = clock.set_by(&store).await.unwrap();
        assert_eq!(first.since(back), Duration::from_hours(1));
        assert!(clock.now() < before);
        assert!(steady.now() >= steadily);
        tokio::time::timeout(LEASE, clock.jumped()).await.expect("it is told");
        assert!(clock.alive(back, LEASE).contains(&back.minus(2 * LEASE)), "others have a lease to beat");
        assert!(!clock.alive(back, none).contains(&first), "a heartbeat of the time before is none");

        let at = steady.now().plus(LEASE);
        assert_eq!(clock.to_steady(clock.of_steady(at)), at);
        assert!(clock.of_steady(at).since(back) >= LEASE && clock.of_steady(at).since(back) < 2 * LEASE);
    }
}
