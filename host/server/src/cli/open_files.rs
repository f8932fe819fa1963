//! How many files and connections the host's process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as observers with a few connections each need, with those to the database.
const FEW: u64 = 4096;

/// Lets this process open as many as it may, and says how many that are: systems start programs with fewer (1024 of many more)
/// for the sake of old ones, and one connection to each of a thousand destinations takes all of them.
pub(super) fn allow() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, "can not raise how many files this process may open");
            limit
        }
    };
    match limit.current {
        Some(files) if files < FEW => tracing::warn!(
            files,
            "this process may open few files and connections; with many destinations deliveries fail: raise its limit (`ulimit -Hn`, \
             `LimitNOFILE=` of systemd)"
        ),
        Some(files) => tracing::info!(files, "files and connections that may be open"),
        None => tracing::info!("files and connections that may be open: any number"),
    }
}
