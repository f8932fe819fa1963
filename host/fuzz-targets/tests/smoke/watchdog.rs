//! Ends the process when an input never ends.

use std::{
    path::{Path, PathBuf},
    process,
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    thread,
    time::Duration,
};

/// For one input, on any machine.
const MOST: Duration = Duration::from_mins(1);

/// Watches until it is dropped.
pub(crate) struct Watchdog(SyncSender<()>);

impl Watchdog {
    pub(crate) fn start(target: &'static str, input: &Path) -> Self {
        let (ended, receiver) = mpsc::sync_channel(1);
        let input: PathBuf = input.to_owned();
        thread::spawn(move || {
            loop {
                match receiver.recv_timeout(MOST) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!(
                            "{target}: an input runs for more than {MOST:?}; it is in {}",
                            input.display()
                        );
                        process::exit(1);
                    }
                }
            }
        });
        Self(ended)
    }

    /// An input has ended.
    pub(crate) fn hear(&self) {
        // One that was not taken yet says the same.
        let _ = self.0.try_send(());
    }
}
