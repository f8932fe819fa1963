//! A host: starts the tasks of the pipeline and stops them again.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use aftercommit_core::{BreakerSettings, Clock};
use aftercommit_store::{Backend, HostId, TransactionCount};
use arc_swap::ArcSwap;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    claimer,
    clock::CommonClock,
    completer,
    counters::{Counters, Health},
    dead_letter_drain::DeadLetterDrain,
    destinations,
    dispatch::Dispatch,
    fatal::Fatal,
    feeder::Feeder,
    intake, recovery,
    room::Room,
    upkeep,
};
use crate::{
    config::{Config, DestinationConfig},
    error::Result,
    observers::Snapshot,
    plugins::Catalog,
};

/// How a host works. [`Default`] is what the configuration file's defaults say.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Inbox rows taken in one transaction.
    pub batch_size: usize,
    /// How often to look at the inbox when nothing rings.
    pub poll_interval: Duration,
    /// Deliveries this host owns at most: running, waiting for their turn, or ended and not yet written.
    pub channel_capacity: usize,
    /// Memory for their events.
    pub memory_bytes: usize,
    /// Actions that run at once.
    pub max_concurrency: usize,
    /// Actions that run at once towards one destination.
    pub per_destination: usize,
    /// When a destination is left alone, and for how long.
    pub breaker: BreakerSettings,
    /// Refusals of one endpoint in a row after which it is paused; 0: never.
    pub pause_after_refusals: u32,
    /// Destinations with bounds of their own, by name.
    pub destinations: BTreeMap<String, DestinationConfig>,
    /// A host without a heartbeat for so long is taken for dead.
    pub lease_timeout: Duration,
    /// How long running actions may take to end when the host stops.
    pub shutdown_grace: Duration,
    /// How often to look at `tb_observer` when nothing rings.
    pub reload_interval: Duration,
    /// The folder of secrets, if it is to be watched; without one, they are looked at every `reload_interval`.
    pub secrets_dir: Option<PathBuf>,
    /// How long events are kept.
    pub keep_events: Duration,
    /// How long attempt logs are kept.
    pub keep_log: Duration,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self::from(&Config::default())
    }
}

impl From<&Config> for HostSettings {
    fn from(config: &Config) -> Self {
        let days = |days: u32| Duration::from_hours(24 * u64::from(days));
        Self {
            batch_size: config.intake.batch_size,
            poll_interval: Duration::from_millis(config.intake.poll_interval_ms),
            channel_capacity: config.dispatch.channel_capacity,
            memory_bytes: config.dispatch.memory_mb.saturating_mul(1 << 20),
            max_concurrency: config.dispatch.max_concurrency,
            per_destination: config.dispatch.per_destination,
            breaker: BreakerSettings {
                failures: config.dispatch.breaker_failures,
                open: Duration::from_millis(config.dispatch.breaker_open_ms),
                max_open: Duration::from_millis(config.dispatch.breaker_max_open_ms),
                probes: config.dispatch.breaker_probes,
            },
            pause_after_refusals: config.dispatch.pause_after_refusals,
            destinations: config.destinations.clone(),
            lease_timeout: Duration::from_millis(config.dispatch.lease_timeout_ms),
            shutdown_grace: Duration::from_millis(config.dispatch.shutdown_grace_ms),
            reload_interval: Duration::from_secs(config.observers.reload_interval_secs),
            secrets_dir: config.secrets.dir.clone(),
            keep_events: days(config.retention.events_days),
            keep_log: days(config.retention.log_days),
        }
    }
}

impl HostSettings {
    /// What destinations are bounded by.
    pub(super) fn destinations(&self) -> destinations::Settings {
        destinations::Settings {
            channel_capacity: self.channel_capacity,
            max_concurrency: self.max_concurrency,
            per_destination: self.per_destination,
            breaker: self.breaker,
            named: self.destinations.clone(),
        }
    }
}

/// A running host.
pub struct Host {
    id: HostId,
    store: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    room: Room,
    asked: Arc<Notify>,
    grace: Duration,
    stop: CancellationToken,
    fatal: Fatal,
    abandon: CancellationToken,
    /// No more deliveries will end: the completer may finish.
    last: CancellationToken,
    retired: CancellationToken,
    deliveries: TaskTracker,
    /// Intake, claimer, recovery, reload, takeover, captures, retention: they end when the host is told to stop.
    duties: TaskTracker,
    completer: JoinHandle<()>,
    holds: JoinHandle<()>,
    heartbeat: JoinHandle<()>,
}

impl Host {
    /// Starts a host: it takes events when this returns. The schema must be up to date.
    pub async fn start(
        store: Arc<dyn Backend>,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        settings: HostSettings,
    ) -> Result<Self> {
        store.check_schema().await?;
        let id = HostId::random();
        let name = format!("{}:{}", gethostname::gethostname().display(), std::process::id());
        let clock = Arc::new(CommonClock::new(clock));
        store.register(id, &name, clock.set_by(&*store).await?).await?;

        let dispatch_clock: Arc<dyn Clock> = Arc::<CommonClock>::clone(&clock);
        let (dispatch, finished) = Dispatch::new(id, Arc::clone(&store), Arc::clone(&clock), &settings);
        let reload = upkeep::Reload {
            host: id,
            store: Arc::clone(&store),
            clock,
            catalog,
            snapshot: Arc::clone(&dispatch.snapshot),
            secrets: upkeep::SecretFolder::watch(settings.secrets_dir.as_deref()),
            is_stale: AtomicBool::new(false),
            loaded: Arc::clone(&dispatch.loaded),
            asked: Arc::clone(&dispatch.reload),
            is_reported: Arc::clone(&dispatch.is_reported),
            claimer: Arc::clone(&dispatch.claimer),
            fatal: dispatch.fatal.clone(),
        };
        reload.now(&dispatch.stop).await?;
        // Before anything is taken or claimed.
        upkeep::recall_rates(&dispatch, settings.keep_log).await?;
        upkeep::follow_holds(&dispatch).await?;

        let (last, retired) = (CancellationToken::new(), CancellationToken::new());
        let beat = settings.lease_timeout / 3;
        let duties = start_duties(&dispatch, reload, &settings);
        let completer = tokio::spawn(completer::run(Arc::clone(&dispatch), finished, last.clone()));
        let holds = tokio::spawn(upkeep::holds(Arc::clone(&dispatch), last.clone()));
        let heartbeat = tokio::spawn(upkeep::heartbeat(Arc::clone(&dispatch), name, beat, retired.clone()));
        Ok(Self {
            id,
            store,
            clock: dispatch_clock,
            counters: Arc::clone(&dispatch.counters),
            snapshot: Arc::clone(&dispatch.snapshot),
            room: dispatch.room.clone(),
            asked: Arc::clone(&dispatch.reload),
            grace: settings.shutdown_grace,
            stop: dispatch.stop.clone(),
            fatal: dispatch.fatal.clone(),
            abandon: dispatch.abandon.clone(),
            last,
            retired,
            deliveries: dispatch.tasks.clone(),
            duties,
            completer,
            holds,
            heartbeat,
        })
    }

    /// Names this run of the host.
    #[must_use]
    pub const fn id(&self) -> HostId {
        self.id
    }

    /// What it has done since it started.
    #[must_use]
    pub fn health(&self) -> Health {
        self.counters.read()
    }

    /// The observers it works with now.
    #[must_use]
    pub fn observers(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Has it look at `tb_observer` now.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// Deliveries it owns now.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.room.taken()
    }

    /// A feeder, which puts the events of the program's own [`EventSource`](crate::EventSource) into the inbox.
    #[must_use]
    pub fn feeder(&self) -> Feeder {
        Feeder::new(Arc::clone(&self.store), self.fatal.clone(), self.stop.clone())
    }

    /// A drain, which moves dead letters into the program's own [`DeadLetterQueue`](crate::DeadLetterQueue).
    #[must_use]
    pub fn dead_letter_drain(&self) -> DeadLetterDrain {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        DeadLetterDrain::new(store, clock, self.fatal.clone(), self.stop.clone())
    }

    /// Returns why, when the host has to end: its database is another one than it began with. Then there is nothing to
    /// [`stop`](Self::stop): drop it.
    pub async fn ended(&self) -> String {
        self.fatal.ended().await
    }

    /// Stops: takes no more events, lets what runs end within the grace time, hands the rest back.
    pub async fn stop(self) -> Result<()> {
        tracing::info!(owned = self.owned(), "stopping");
        self.stop.cancel();
        self.duties.close();
        self.duties.wait().await;
        self.deliveries.close();
        if tokio::time::timeout(self.grace, self.deliveries.wait()).await.is_err() {
            tracing::warn!(
                owned = self.owned(),
                "the grace time is over; what still runs is left to be made again"
            );
        }
        self.abandon.cancel();
        self.deliveries.wait().await;
        // The heartbeat goes on until the last completion is written: until then this host owns deliveries.
        self.last.cancel();
        let _ = self.completer.await;
        let _ = self.holds.await;
        self.retired.cancel();
        let _ = self.heartbeat.await;
        self.store.retire(self.id).await?;
        for count in self.store.transactions() {
            let TransactionCount { name, done, failed, repeated, took, p50, p99, longest } = count;
            tracing::debug!(name, done, failed, repeated, ?took, ?p50, ?p99, ?longest, "transactions");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

fn start_duties(dispatch: &Arc<Dispatch>, reload: upkeep::Reload, settings: &HostSettings) -> TaskTracker {
    let duties = TaskTracker::new();
    let stop = &dispatch.stop;
    let intake = intake::Settings { batch_size: settings.batch_size, poll_interval: settings.poll_interval };
    let retention = upkeep::RetentionSettings { events: settings.keep_events, log: settings.keep_log };
    let (lease, interval) = (settings.lease_timeout, settings.lease_timeout / 3);
    duties.spawn(intake::run(Arc::clone(dispatch), intake, stop.clone()));
    duties.spawn(claimer::run(Arc::clone(dispatch), settings.batch_size, stop.clone()));
    duties.spawn(recovery::run(Arc::clone(dispatch), interval, stop.clone()));
    duties.spawn(upkeep::takeover(Arc::clone(dispatch), lease, interval, stop.clone()));
    duties.spawn(upkeep::reload(reload, settings.reload_interval, stop.clone()));
    duties.spawn(upkeep::captures(Arc::clone(dispatch), stop.clone()));
    duties.spawn(upkeep::retention(Arc::clone(dispatch), retention, stop.clone()));
    duties
}
