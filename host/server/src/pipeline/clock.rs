//! The time that all hosts of a database go by.
//!
//! Hosts compare what they write: heartbeats, and when deliveries are due. The clocks of their machines may differ by
//! more than the lease. So a host asks the database what time it is, before each heartbeat and before it looks for hosts
//! that are gone, and goes by that time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use aftercommit_core::{Clock, Timestamp};
use aftercommit_store::{Backend, Result};

/// A difference that a person should know of: the log of attempts and other programs' logs do not fit.
const NOTABLE_US: u64 = 1_000_000;

/// The machine's clock, set by the database's.
pub(super) struct CommonClock {
    own: Arc<dyn Clock>,
    /// How far the database's clock is ahead of it.
    ahead_us: AtomicI64,
}

impl CommonClock {
    /// One that is not set yet.
    pub(super) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, ahead_us: AtomicI64::new(0) }
    }

    /// Sets it; returns what time it was in the database when it was asked. If the answer comes late, others seem
    /// younger by that time than they are, never older.
    pub(super) async fn set_by(&self, store: &dyn Backend) -> Result<Timestamp> {
        let asked = self.own.now();
        let Some(there) = store.database_time().await? else { return Ok(asked) };
        // The database looked at its clock at some moment between the question and the answer.
        let here = asked.plus(self.own.now().since(asked) / 2);
        let ahead = there.as_micros().saturating_sub(here.as_micros());
        let before = self.ahead_us.swap(ahead, Relaxed);
        if ahead.abs_diff(before) > NOTABLE_US {
            tracing::warn!(
                here = %here,
                database = %there,
                "this machine's clock and the database's differ; this host goes by the database's"
            );
        }
        Ok(there)
    }
}

impl Clock for CommonClock {
    fn now(&self) -> Timestamp {
        let own = self.own.now().as_micros();
        Timestamp::from_micros(own.saturating_add(self.ahead_us.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
