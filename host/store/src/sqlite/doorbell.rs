//! Hears that something was committed. SQLite has no way to tell another process, but every commit appends to the
//! write-ahead log: the operating system tells when that file changes.
//!
//! It tells at the write, and the commit becomes visible a little later (after a sync, if the application asks for
//! one). So a change starts a short row of looks, ever further apart. Our own writes change the file too: they cost a few
//! looks and ring no bell, because only what has changed does. While nothing is written nobody looks, so an idle host costs
//! next to nothing. Where the file can not be watched the looks go on for ever, at the longest distance.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::Result;

/// For so long after a change there are looks.
const LOOKS: Duration = Duration::from_millis(250);

/// How near two looks are at least, and how far apart at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distance {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

/// Watches the write-ahead log of one database.
pub(super) struct Doorbell {
    log: PathBuf,
    /// When the log changed last; the start counts as a change.
    changed: watch::Sender<Instant>,
    watcher: Mutex<Option<RecommendedWatcher>>,
}

impl Doorbell {
    pub(super) fn for_database(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into(), changed: watch::Sender::new(Instant::now()), watcher: Mutex::default() }
    }

    /// Returns when `look` sees something. The caller has looked just now: the first look comes after the next change, or
    /// soon if the last one is not long ago. A look that fails is made again; the caller's own calls report the error.
    pub(super) async fn wait<L>(&self, distance: Distance, look: impl Fn() -> L)
    where
        L: Future<Output = Result<bool>>,
    {
        let is_watched = self.watch();
        let mut bell = self.changed.subscribe();
        loop {
            let looked = Instant::now();
            let last_change = *bell.borrow_and_update();
            match until_next_look(distance, last_change.elapsed(), is_watched) {
                // A change starts the looks anew, and nearer.
                Some(pause) => drop(tokio::time::timeout(pause, bell.changed()).await),
                // The sender is this struct's own.
                None => drop(bell.changed().await),
            }
            sleep_until(looked + distance.least).await;
            if look().await.unwrap_or(false) {
                return;
            }
        }
    }

    /// Whether the log is watched. Starts to, at the first call that finds it.
    fn watch(&self) -> bool {
        let mut watcher = self.watcher.lock();
        if watcher.is_none() {
            match self.start() {
                Ok(started) => *watcher = Some(started),
                Err(error) => tracing::debug!(%error, "the write-ahead log can not be watched; it is polled"),
            }
        }
        watcher.is_some()
    }

    fn start(&self) -> notify::Result<RecommendedWatcher> {
        let changed = self.changed.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Whatever it is that was missed or failed, a look does no harm. Opening the file is no change.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                changed.send_replace(Instant::now());
            }
        })?;
        watcher.watch(&self.log, RecursiveMode::NonRecursive)?;
        // What was written before it was watched.
        self.changed.send_replace(Instant::now());
        Ok(watcher)
    }
}

/// The pause before the next look, so long after a change: from the least to the greatest distance, doubling. `None` when
/// nothing can have been missed.
fn until_next_look(distance: Distance, since_change: Duration, is_watched: bool) -> Option<Duration> {
    if since_change < LOOKS.max(distance.most * 4) {
        Some(since_change.clamp(distance.least, distance.most))
    } else {
        (!is_watched).then_some(distance.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_follow_a_change_ever_further_apart_and_then_cease() {
        let ms = Duration::from_millis;
        let distance = Distance { least: ms(1), most: ms(50) };
        let mut since_change = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Some(pause) = until_next_look(distance, since_change, true) {
            pauses.push(pause);
            since_change += pause;
        }
        let expected = [1, 1, 2, 4, 8, 16, 32, 50, 50, 50, 50];
        assert_eq!(pauses, expected.map(ms));
        assert_eq!(until_next_look(distance, since_change, false), Some(ms(50)), "nobody tells of a change");
    }

    #[tokio::test]
    async fn a_change_of_the_log_is_heard_and_no_change_costs_no_look() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("test.db");
        let log = folder.path().join("test.db-wal");
        std::fs::write(&log, "one").unwrap();
        let bell = Doorbell::for_database(&database);
        let ms = Duration::from_millis;
        let distance = Distance { least: ms(1), most: ms(50) };
        let looks = std::sync::atomic::AtomicUsize::new(0);
        let look = || {
            looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(Ok(std::fs::read(&log).unwrap() == b"two"))
        };
        let quiet = tokio::time::timeout(LOOKS * 4, bell.wait(distance, look)).await;
        assert!(quiet.is_err(), "nothing was written");
        let after_start = looks.load(std::sync::atomic::Ordering::Relaxed);
        assert!(after_start <= 16, "{after_start} looks");
        let write = async { std::fs::write(&log, "two").unwrap() };
        tokio::join!(bell.wait(distance, look), write);
    }
}
