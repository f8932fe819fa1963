//! Follows `tb_observer`: compiles it when its revision has changed and swaps the snapshot whole.

use std::{sync::Arc, time::Duration};

use aftercommit_core::Clock;
use aftercommit_store::{Backend, HostId};
use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    observers::Snapshot,
    pipeline::{fatal::Fatal, patience::Patience},
    plugins::Catalog,
};

/// Between two reloads at least, so that a script of many small changes is not followed step by step.
const LEAST: Duration = Duration::from_millis(250);

/// What reloading needs.
pub(in crate::pipeline) struct Reload {
    pub(in crate::pipeline) host: HostId,
    pub(in crate::pipeline) store: Arc<dyn Backend>,
    pub(in crate::pipeline) clock: Arc<dyn Clock>,
    pub(in crate::pipeline) catalog: Arc<Catalog>,
    pub(in crate::pipeline) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Someone met an observer that the snapshot does not know.
    pub(in crate::pipeline) asked: Arc<Notify>,
    /// Deliveries that waited for their observer may run now.
    pub(in crate::pipeline) claimer: Arc<Notify>,
    pub(in crate::pipeline) fatal: Fatal,
}

/// Reloads until `stop`: when the store rings, when asked, and every `interval`.
pub(in crate::pipeline) async fn reload(reload: Reload, interval: Duration, stop: CancellationToken) {
    let mut patience = Patience::new("reload", &reload.fatal);
    loop {
        let wait = async {
            tokio::time::sleep(LEAST).await;
            tokio::select! {
                () = reload.store.definitions_bell(reload.snapshot.load().revision) => {}
                () = tokio::time::sleep(interval) => {}
                () = reload.asked.notified() => {}
            }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
        match reload.if_changed(&stop).await {
            Ok(()) => patience.reset(),
            Err(error) => {
                patience.failed(&error);
            }
        }
    }
}

impl Reload {
    async fn if_changed(&self, stop: &CancellationToken) -> aftercommit_store::Result<()> {
        if self.store.revision().await? == self.snapshot.load().revision {
            return Ok(());
        }
        self.now(stop).await
    }

    /// Compiles the table and swaps the snapshot. What has not been written yet when it is told to stop is left: a plugin
    /// may take minutes to compile.
    pub(in crate::pipeline) async fn now(&self, stop: &CancellationToken) -> aftercommit_store::Result<()> {
        let table = self.store.load().await?;
        let before = self.snapshot.load_full();
        let compiling = Box::pin(Snapshot::compile(&table, &before, &self.catalog));
        let Some(snapshot) = stop.run_until_cancelled(compiling).await else { return Ok(()) };
        for (observer, error) in snapshot.errors() {
            tracing::error!(
                observer,
                "does not load, its last good version goes on if there is one: {error}"
            );
        }
        self.store.report_load_errors(self.host, snapshot.errors(), self.clock.now()).await?;
        let (observers, revision) = (snapshot.matcher().len(), snapshot.revision);
        self.snapshot.store(Arc::new(snapshot));
        self.claimer.notify_one();
        tracing::info!(observers, revision, "observers loaded");
        Ok(())
    }
}
