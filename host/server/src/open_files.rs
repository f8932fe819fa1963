//! How many files and connections the host's process may have open, and what it keeps of them for what.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Fewer are a setting of the system's that the operator may want to know of.
const FEW: u64 = 4096;
/// Files of the program itself: databases, logs, listeners, clients of the administration, a compiler's pipes, name servers.
const OTHERS: u64 = 64;
/// Idle connections, if there is space for no more, and if there is space for any number: each has buffers of some 20 KiB.
const FEWEST_IDLE: u64 = 8;
const MOST_IDLE: u64 = 2048;

/// Lets this process open as many as it may, and says how many that are: systems start programs with fewer (1024 of many more)
/// for the sake of old ones.
pub(crate) fn allow(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, "can not raise how many files this process may open");
            limit
        }
    };
    let (busy, idle_connections) = (busy(config), idle_connections(config));
    match limit.current {
        Some(files) if files < busy + FEWEST_IDLE => tracing::warn!(
            files,
            busy,
            "this process may open fewer files and connections than it may be using at once: raise its limit (`ulimit -Hn`, \
             `LimitNOFILE=` of systemd), or lower `max_concurrency` in [dispatch]"
        ),
        Some(files) if files < FEW => tracing::warn!(
            files,
            idle_connections,
            "this process may open few files and connections; with many destinations it opens connections again that it could \
             have kept: raise its limit (`ulimit -Hn`, `LimitNOFILE=` of systemd)"
        ),
        Some(files) => tracing::info!(files, idle_connections, "files and connections that may be open"),
        None => tracing::info!(idle_connections, "files and connections that may be open: any number"),
    }
}

/// How many idle HTTP connections may be kept: what the limit leaves beside everything that may be open at once.
pub(crate) fn idle_connections(config: &Config) -> usize {
    let left = getrlimit(Resource::Nofile).current.map(|files| files.saturating_sub(busy(config)));
    let idle = left.map_or(MOST_IDLE, |left| left.clamp(FEWEST_IDLE, MOST_IDLE));
    usize::try_from(idle).unwrap_or(usize::MAX)
}

/// Files and connections that may be in use at once.
fn busy(config: &Config) -> u64 {
    let servers = config.redis.values().map(|redis| redis.max_connections);
    let servers = servers.chain(config.memcached.values().map(|memcached| memcached.max_connections));
    let servers = servers.chain(config.smtp.as_ref().map(|smtp| smtp.max_connections));
    let connections: u64 = servers.map(u64::from).sum::<u64>() + u64::from(config.database.max_connections);
    OTHERS + connections + config.dispatch.max_concurrency as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_that_may_be_in_use_are_counted() {
        let mut config = Config::default();
        config.dispatch.max_concurrency = 100;
        config.database.max_connections = 20;
        assert_eq!(busy(&config), OTHERS + 120);
        let idle = idle_connections(&config) as u64;
        assert!((FEWEST_IDLE..=MOST_IDLE).contains(&idle), "{idle}");
    }
}
