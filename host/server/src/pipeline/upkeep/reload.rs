//! Follows `tb_observer` and the secrets that its actions name: compiles it when its revision or a secret has changed, and swaps
//! the snapshot whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use aftercommit_core::Clock;
use aftercommit_runtime::ConfiguredAction;
use aftercommit_store::{Backend, HostId, Lift, Target};
use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    observers::Snapshot,
    pipeline::{fatal::Fatal, patience::Patience, upkeep::secret_folder::SecretFolder},
    plugins::Catalog,
};

/// Between two reloads at least, so that a script of many small changes is not followed step by step.
const LEAST: Duration = Duration::from_millis(250);

/// Statuses of receivers that did not take credentials.
const REFUSED_CREDENTIALS: [u16; 2] = [401, 403];

/// What reloading needs.
pub(in crate::pipeline) struct Reload {
    pub(in crate::pipeline) host: HostId,
    pub(in crate::pipeline) store: Arc<dyn Backend>,
    pub(in crate::pipeline) clock: Arc<dyn Clock>,
    pub(in crate::pipeline) catalog: Arc<Catalog>,
    pub(in crate::pipeline) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(in crate::pipeline) secrets: SecretFolder,
    /// Secrets have changed, and the snapshot may be of before.
    pub(in crate::pipeline) is_stale: AtomicBool,
    /// Another snapshot is there.
    pub(in crate::pipeline) loaded: Arc<Notify>,
    /// Someone met an observer that the snapshot does not know.
    pub(in crate::pipeline) asked: Arc<Notify>,
    /// Whether this host's entry says which observers it works with.
    pub(in crate::pipeline) is_reported: Arc<AtomicBool>,
    /// Deliveries that waited for their observer may run now.
    pub(in crate::pipeline) claimer: Arc<Notify>,
    pub(in crate::pipeline) fatal: Fatal,
}

/// Reloads until `stop`: when the store rings, when asked, and every `interval`.
pub(in crate::pipeline) async fn reload(reload: Reload, interval: Duration, stop: CancellationToken) {
    let mut patience = Patience::new("reload", &reload.fatal);
    let mut pause = None;
    loop {
        let wait = async {
            if let Some(pause) = pause {
                // Nothing may ring a second time.
                return tokio::time::sleep(pause).await;
            }
            tokio::time::sleep(LEAST).await;
            tokio::select! {
                () = reload.store.definitions_bell(reload.snapshot.load().revision) => {}
                () = tokio::time::sleep(interval) => {}
                () = reload.asked.notified() => {}
                () = reload.secrets.changed() => {}
            }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
        pause = match reload.if_changed(&stop).await {
            Ok(()) => {
                patience.reset();
                None
            }
            Err(error) => Some(patience.failed(&error)),
        };
    }
}

impl Reload {
    async fn if_changed(&self, stop: &CancellationToken) -> aftercommit_store::Result<()> {
        let changed = self.catalog.changed_secrets().await;
        if !changed.is_empty() {
            tracing::info!(secrets = ?changed, "secrets have changed");
            self.is_stale.store(true, Relaxed);
        }
        if self.store.revision().await? != self.snapshot.load().revision || self.is_stale.load(Relaxed) {
            self.now(stop).await?;
            self.is_stale.store(false, Relaxed);
            return Ok(());
        }
        if self.is_reported.load(Relaxed) { Ok(()) } else { self.report().await }
    }

    /// Compiles the table, swaps the snapshot, and then says in the database that this host works with it. What has not been
    /// written yet when it is told to stop is left: a plugin may take minutes to compile.
    pub(in crate::pipeline) async fn now(&self, stop: &CancellationToken) -> aftercommit_store::Result<()> {
        let table = self.store.load().await?;
        let before = self.snapshot.load_full();
        let compiling = Box::pin(Snapshot::compile(&table, &before, &self.catalog));
        let Some(snapshot) = stop.run_until_cancelled(compiling).await else { return Ok(()) };
        // Each action was asked for its secrets just now.
        self.catalog.runtime().forget_unused_secrets();
        for (observer, error) in snapshot.errors() {
            tracing::error!(
                observer,
                "does not load, its last good version goes on if there is one: {error}"
            );
        }
        let (observers, revision) = (snapshot.matcher().len(), snapshot.revision);
        self.is_reported.store(false, Relaxed);
        let snapshot = Arc::new(snapshot);
        self.snapshot.store(Arc::clone(&snapshot));
        self.loaded.notify_waiters();
        self.resume_renewed(&before, &snapshot).await?;
        self.claimer.notify_one();
        self.report().await?;
        tracing::info!(observers, revision, "observers loaded");
        Ok(())
    }

    async fn report(&self) -> aftercommit_store::Result<()> {
        let snapshot = self.snapshot.load_full();
        // Before it is written: whoever enters this host anew meanwhile has it written once more.
        self.is_reported.store(true, Relaxed);
        let (revision, errors) = (snapshot.revision, snapshot.errors());
        let reported = self.store.report_loaded(self.host, revision, errors, self.clock.now()).await;
        if reported.is_err() {
            self.is_reported.store(false, Relaxed);
        }
        reported
    }

    /// Resumes endpoints that were paused because their receivers did not take the credentials that their actions had.
    async fn resume_renewed(&self, before: &Snapshot, now: &Snapshot) -> aftercommit_store::Result<()> {
        let renewed: Vec<_> = now
            .all_actions()
            .filter(|action| {
                let old = before.action(&action.observer, &action.name);
                let old = old.filter(|old| !Arc::ptr_eq(old, action) && old.digest() == action.digest());
                old.is_some_and(|old| old.configured.as_ref().is_ok_and(ConfiguredAction::has_old_secret))
            })
            .collect();
        if renewed.is_empty() {
            return Ok(());
        }
        for hold in self.store.holds().await? {
            let Target::Endpoint(observer, name) = &hold.target else { continue };
            let is_renewed =
                renewed.iter().any(|action| *action.observer == **observer && *action.name == **name);
            if is_renewed && hold.http_status.is_some_and(|status| REFUSED_CREDENTIALS.contains(&status)) {
                tracing::warn!(endpoint = %hold.target, "its secrets were changed: it is not paused any more");
                self.store.lift(hold.target, Lift::Always).await?;
            }
        }
        Ok(())
    }
}
