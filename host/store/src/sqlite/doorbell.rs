//! Hears that something was committed. SQLite has no way to tell another process, but every commit appends to the
//! write-ahead log: the operating system tells when that file changes.
//!
//! It tells at the write, and the commit becomes visible a little later (after a sync, if the application asks for
//! one). So a change starts a short row of looks at the inbox, ever further apart. Our own writes change the file too:
//! they cost a few looks and ring no bell, because only an inbox that has rows does. Where the file can not be watched
//! the looks go on for ever, at the longest distance.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::SqliteStore;

/// Between two looks after a change: from the first, doubling, to the last. No two looks are nearer than the first.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Watches the write-ahead log of one database.
pub(super) struct Doorbell {
    log: PathBuf,
    changed: Arc<Notify>,
    watcher: Mutex<Option<RecommendedWatcher>>,
}

impl Doorbell {
    pub(super) fn for_database(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into(), changed: Arc::default(), watcher: Mutex::default() }
    }

    /// Returns when the inbox has rows.
    pub(super) async fn wait(&self, store: &SqliteStore) {
        let watched = self.watch();
        let mut pause = FIRST_LOOK;
        loop {
            let looked = Instant::now();
            // A database that can not be read now is looked at again; the caller's own calls report the error.
            if store.inbox_has_rows().await.unwrap_or(false) {
                return;
            }
            if pause <= LAST_LOOK || !watched {
                tokio::select! {
                    () = self.changed.notified() => pause = FIRST_LOOK,
                    () = sleep(pause.min(LAST_LOOK)) => pause *= 2,
                }
            } else {
                self.changed.notified().await;
                pause = FIRST_LOOK;
            }
            pause = pause.min(LAST_LOOK * 2);
            sleep_until(looked + FIRST_LOOK).await;
        }
    }

    /// Whether the log is watched. Starts to, at the first call that finds it.
    fn watch(&self) -> bool {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_none() {
            match self.start() {
                Ok(started) => *watcher = Some(started),
                Err(error) => tracing::debug!(%error, "the write-ahead log can not be watched; it is polled"),
            }
        }
        watcher.is_some()
    }

    fn start(&self) -> notify::Result<RecommendedWatcher> {
        let changed = Arc::clone(&self.changed);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Whatever it is that was missed or failed, a look does no harm. Opening the file is no change.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                changed.notify_one();
            }
        })?;
        watcher.watch(&self.log, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}
