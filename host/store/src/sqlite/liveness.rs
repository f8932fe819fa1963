//! Signs of life: a host that died is known to be dead at once, before its lease ends.
//!
//! All hosts of an SQLite file run on one machine. Each holds an exclusive lock on a small file beside the database,
//! named by its id; the operating system lets go of it when the process ends, however it ends. Whoever gets the lock
//! knows that the host is gone. The lease stays as the fallback, for a host that hangs, and for a folder where such a
//! file can not be made or locked.
//!
//! Files are made and removed under the database's write lock only: nobody removes a file that is just being locked.

use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use crate::HostId;

/// The signs of life beside one database.
pub(super) struct Liveness {
    folder: PathBuf,
    prefix: String,
    held: Mutex<HashMap<HostId, File>>,
}

impl Liveness {
    pub(super) fn beside(database: &Path) -> Self {
        let name = database.file_name().unwrap_or_default().to_string_lossy();
        Self {
            folder: database.parent().unwrap_or(Path::new("/")).to_owned(),
            prefix: format!("{name}-host-"),
            held: Mutex::default(),
        }
    }

    /// Shows that `host`, of this process, lives.
    pub(super) fn show(&self, host: HostId) {
        let mut held = self.held.lock();
        if held.contains_key(&host) {
            return;
        }
        let file = File::create(self.file_of(host))
            .and_then(|file| file.try_lock().map(|()| file).map_err(Into::into));
        match file {
            Ok(file) => {
                held.insert(host, file);
            }
            Err(error) => {
                let _ = std::fs::remove_file(self.file_of(host));
                tracing::warn!(%host, %error, "no sign of life beside the database: should this host die, others \
                     take over its deliveries only when its lease has ended");
            }
        }
    }

    /// `host`, of this process, has ended.
    pub(super) fn end(&self, host: HostId) {
        let mut held = self.held.lock();
        if held.remove(&host).is_some() {
            let _ = std::fs::remove_file(self.file_of(host));
        }
    }

    /// Whether `host` is known to be gone.
    pub(super) fn is_dead(&self, host: HostId) -> bool {
        is_abandoned(&self.file_of(host))
    }

    /// Removes what hosts left behind that are not `entered` any more.
    pub(super) fn clean(&self, entered: &[HostId]) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(host) = name.to_str().and_then(|name| name.strip_prefix(&self.prefix)) else { continue };
            let Ok(host) = host.parse().map(HostId) else { continue };
            if !entered.contains(&host) && is_abandoned(&entry.path()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn file_of(&self, host: HostId) -> PathBuf {
        self.folder.join(format!("{}{host}", self.prefix))
    }
}

/// Whether the file is there and nobody holds its lock. A file that is missing or can not be locked proves nothing.
fn is_abandoned(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}
