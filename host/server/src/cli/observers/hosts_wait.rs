//! `observers apply --wait`: until the running hosts use what was applied.

use std::time::{Duration, Instant};

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::{Backend, HostRow};

use crate::cli::failure::Failure;

/// Between two looks at what the hosts say. Each is one small read.
const POLL: Duration = Duration::from_millis(100);

/// How to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// For so long at most.
    pub(super) timeout: Duration,
    /// A host without a heartbeat for so long is taken for dead, and not waited for.
    pub(super) lease_timeout: Duration,
}

/// Waits until all hosts that live work with the present observers, or later ones; returns these hosts. An error names those
/// that do not when the time is over.
pub(super) async fn until_used(store: &dyn Backend, wait: Wait) -> Result<Vec<HostRow>, Failure> {
    let revision = store.revision().await?;
    let asked = Instant::now();
    loop {
        // Heartbeats are in the database's time.
        let now = store.database_time().await?.unwrap_or_else(|| SystemClock.now());
        let hosts = store.live_hosts(now, wait.lease_timeout).await?;
        let behind: Vec<_> = hosts.iter().filter(|host| host.revision < Some(revision)).collect();
        if behind.is_empty() {
            return Ok(hosts);
        }
        let elapsed = asked.elapsed();
        if elapsed >= wait.timeout {
            return Err(Failure::failed(of_lagging(&behind, hosts.len(), revision, wait.timeout)));
        }
        tokio::time::sleep(POLL.min(wait.timeout.saturating_sub(elapsed))).await;
    }
}

fn of_lagging(behind: &[&HostRow], hosts: usize, revision: i64, timeout: Duration) -> String {
    let named = behind.iter().map(|host| match host.revision {
        Some(used) => format!("{} (uses revision {used})", host.name),
        None => format!("{} (has loaded none yet)", host.name),
    });
    format!(
        "the observers are in the database; after {} s, {} of {hosts} running hosts still use others than revision {revision}: {}; what they \
         log says why",
        timeout.as_secs(),
        behind.len(),
        named.collect::<Vec<_>>().join(", ")
    )
}
