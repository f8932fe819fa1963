//! Rings when something in the folder of secrets changes.
//!
//! Kubernetes replaces all files of a mounted secret at once: it makes a new folder beside the old one and renames a link,
//! `..data`, over the one before. That is a change of the folder, like a file that is written or renamed in it. What rings
//! is a hint: whoever hears it compares secrets, and a look at every reload interval stands behind it, for folders that can
//! not be watched and links that lead elsewhere.

use std::{path::Path, sync::Arc};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

pub(in crate::pipeline) struct SecretFolder {
    changed: Arc<Notify>,
    /// It watches until it is dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl SecretFolder {
    /// Watches a folder, if there is one.
    pub(in crate::pipeline) fn watch(folder: Option<&Path>) -> Self {
        let changed = Arc::<Notify>::default();
        let watcher = folder.and_then(|folder| {
            watcher(folder, Arc::clone(&changed))
                .inspect_err(|error| {
                    tracing::warn!(%error, folder = %folder.display(), "the folder of secrets can not be watched; it is looked at every reload interval");
                })
                .ok()
        });
        Self { changed, _watcher: watcher }
    }

    /// Returns after a change.
    pub(in crate::pipeline) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn watcher(folder: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Whatever was missed or failed, a look does no harm. Reading the files is no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
