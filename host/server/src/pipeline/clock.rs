//! The time that all hosts of a database go by.
//!
//! Hosts compare what they write: heartbeats, and when deliveries are due. The clocks of their machines may differ by
//! more than the lease. So a host asks the database what time it is, before each heartbeat and before it looks for hosts
//! that are gone, and goes by that time. All hosts of an SQLite database have one machine, and its clock.
//!
//! In between, time passes by the monotonic clock, which nobody sets. A clock that is set (by a person, by NTP, while the
//! machine sleeps) therefore shows as a jump at the next question. It is logged, and for the time of a lease no host is taken
//! for dead, because each writes its heartbeat by the new time only then. What this process decides alone, such as how long
//! it leaves a destination alone, goes by [steady](CommonClock::steady) time, which never jumps.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aftercommit_core::{Clock, Timestamp};
use aftercommit_store::{Backend, Result};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// A difference that a person should know of: the log of attempts and other programs' logs do not fit. A leap second is less.
const NOTABLE_US: u64 = 1_000_000;

/// Longer than any two clocks differ, and within what every database can write.
const MILLENNIUM: Duration = Duration::from_hours(1000 * 365 * 24);

/// The time of the database, or of the machine where that is the same.
pub(super) struct CommonClock {
    wall: Arc<dyn Clock>,
    steady: Steady,
    /// What time it was when `steady` began, by what is known now; in microseconds since 1970.
    origin_us: AtomicI64,
    jumps: Mutex<Jumps>,
    jumped: Notify,
}

/// Time by the monotonic clock.
#[derive(Clone, Copy)]
struct Steady {
    began: Instant,
    /// What time it was then, as far as it was known.
    origin_us: i64,
}

#[derive(Default)]
struct Jumps {
    /// The database was asked before.
    is_set: bool,
    last: Option<Instant>,
}

impl CommonClock {
    /// One that goes by `wall` until it is set.
    pub(super) fn new(wall: Arc<dyn Clock>) -> Self {
        let origin_us = wall.now().as_micros();
        Self {
            wall,
            steady: Steady { began: Instant::now(), origin_us },
            origin_us: AtomicI64::new(origin_us),
            jumps: Mutex::default(),
            jumped: Notify::new(),
        }
    }

    /// Sets it; returns what time it was when the database was asked. If the answer comes late, others seem younger by that
    /// time than they are, never older.
    pub(super) async fn set_by(&self, store: &dyn Backend) -> Result<Timestamp> {
        let asked = self.steady.elapsed_us();
        let there = store.database_time().await?.unwrap_or_else(|| self.wall.now());
        let answered = self.steady.elapsed_us();
        // The clock was read between the question and the answer. Nobody knows when: an answer that took long does not
        // contradict what was known before, and shows no jump.
        let earliest = there.as_micros().saturating_sub(answered);
        let latest = there.as_micros().saturating_sub(asked);
        let mut jumps = self.jumps();
        let before = self.origin_us.load(Relaxed);
        let origin = before.clamp(earliest, latest);
        self.origin_us.store(origin, Relaxed);
        let was_set = std::mem::replace(&mut jumps.is_set, true);
        if origin.abs_diff(before) <= NOTABLE_US {
            return Ok(there);
        }
        if was_set {
            jumps.last = Some(Instant::now());
            drop(jumps);
            warn_of_jump(before, origin);
            self.jumped.notify_one();
        } else {
            tracing::warn!(
                here = %self.wall.now(),
                database = %there,
                "this machine's clock and the database's differ; this host goes by the database's"
            );
        }
        Ok(there)
    }

    /// Returns when the clock has jumped.
    pub(super) async fn jumped(&self) {
        self.jumped.notified().await;
    }

    /// Whether the clock has jumped within so long.
    pub(super) fn has_jumped_within(&self, time: Duration) -> bool {
        self.jumps().last.is_some_and(|last| last.elapsed() < time)
    }

    /// The heartbeats of living hosts, by a lease of `lease_timeout`: none older, and none from the future, which was written
    /// before the clock was set back. After a jump all hosts have the time of a lease to write another.
    pub(super) fn alive(&self, now: Timestamp, lease_timeout: Duration) -> RangeInclusive<Timestamp> {
        let has_jumped = self.has_jumped_within(lease_timeout);
        let oldest = if has_jumped { MILLENNIUM } else { lease_timeout };
        // This host has not seen a jump from before its start.
        let is_new = self.steady.began.elapsed() < lease_timeout;
        let newest = if has_jumped || is_new { MILLENNIUM } else { lease_timeout };
        now.minus(oldest)..=now.plus(newest)
    }

    /// Time that never jumps, for what this process alone decides. It began with the time of the machine.
    pub(super) fn steady(&self) -> Arc<dyn Clock> {
        Arc::new(self.steady)
    }

    /// The common time when steady time is `at`.
    pub(super) fn of_steady(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_micros(at.as_micros().saturating_add(self.ahead_us()))
    }

    /// The steady time when common time is `at`.
    pub(super) fn to_steady(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_micros(at.as_micros().saturating_sub(self.ahead_us()))
    }

    fn ahead_us(&self) -> i64 {
        self.origin_us.load(Relaxed).saturating_sub(self.steady.origin_us)
    }

    fn jumps(&self) -> MutexGuard<'_, Jumps> {
        self.jumps.lock()
    }
}

fn warn_of_jump(before_us: i64, now_us: i64) {
    let by = Duration::from_micros(now_us.abs_diff(before_us));
    if now_us < before_us {
        tracing::warn!(?by, "the clock was set back; retries and destinations wait no longer for that");
    } else {
        tracing::warn!(?by, "the clock was set ahead, or the machine slept; retries may be due earlier");
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
        assert!(clock.alive(first, LEASE).contains(&first.plus(MILLENNIUM)), "another may have seen a jump");
        assert!(!clock.alive(first, LEASE).contains(&first.minus(2 * LEASE)), "this one has seen none");

        wall.0.store(99 * HOUR_US, Relaxed);
        let (before, steadily) = (clock.now(), steady.now());
        assert!(before >= first, "nothing is known of it before the clock is looked at");
        let back = clock.set_by(&store).await.unwrap();
        assert_eq!(first.since(back), Duration::from_hours(1));
        assert!(clock.now() < before);
        assert!(steady.now() >= steadily);
        tokio::time::timeout(LEASE, clock.jumped()).await.expect("it is reported");
        assert!(clock.alive(back, LEASE).contains(&back.minus(2 * LEASE)), "others have a lease to beat");
        assert!(!clock.alive(back, none).contains(&first), "a heartbeat of the time before is none");

        let at = steady.now().plus(LEASE);
        assert_eq!(clock.to_steady(clock.of_steady(at)), at);
        assert!(clock.of_steady(at).since(back) >= LEASE && clock.of_steady(at).since(back) < 2 * LEASE);
    }
}
