//! What the embedding program decides once for all plugins.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    capability::Origin,
    egress::{DEFAULT_IDLE, MemcachedSettings, RedisSettings, RouteSettings, SmtpSettings},
    engine::compile_process::Compiler,
    limits::Limits,
};

/// Settings of a [`Runtime`](crate::Runtime). Every field has a default.
#[derive(Clone, Debug)]
pub struct RuntimeSettings {
    /// Where compiled components are kept. Made with mode 0700; nothing is cached when absent or when the folder is
    /// open to others.
    pub cache_dir: Option<PathBuf>,
    /// Largest component. Default 64 MiB; those of Python have 18 to 40.
    pub max_component_bytes: u64,
    /// Compiles components in a process of its own, if there is a `cache_dir`, bounded in time and memory. Without it they
    /// are compiled in this process, bounded only by what they weigh.
    pub compiler: Option<Compiler>,
    /// Instances that run at the same time. Above it, attempts wait.
    pub max_instances: u32,
    /// Idle instances kept for actions with `limits.reuse`, over all actions.
    pub max_warm_instances: u32,
    /// Idle HTTP connections that are kept, over all destinations. Beyond it those of the destination that was used least
    /// recently are closed. Default 1024; a process that may open few files needs a lower bound.
    pub max_idle_connections: usize,
    /// Length of a tick of CPU accounting: a guest yields each tick.
    pub tick_ms: u64,
    /// Limits of an action that does not set its own.
    pub defaults: Limits,
    /// Certificates (PEM) trusted beside the platform's.
    pub extra_ca_pem: Vec<Vec<u8>>,
    /// Ways to origins of which there is more to say than their URL.
    pub routes: BTreeMap<Origin, RouteSettings>,
    /// `User-Agent` of requests that carry none.
    pub user_agent: String,
    /// Servers that actions may use when they are granted.
    pub services: ServiceSettings,
}

/// Servers that actions may use when they are granted. An action that needs one that is not here does not load.
#[derive(Clone, Default, Debug)]
pub struct ServiceSettings {
    /// The mail server.
    pub smtp: Option<SmtpSettings>,
    /// Redis servers by the name of their connection.
    pub redis: BTreeMap<String, RedisSettings>,
    /// Memcached servers by the name of their connection.
    pub memcached: BTreeMap<String, MemcachedSettings>,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            max_component_bytes: 64 << 20,
            compiler: None,
            // Four times the default number of concurrent deliveries: some wait in host calls.
            max_instances: 256,
            max_warm_instances: 64,
            max_idle_connections: DEFAULT_IDLE,
            tick_ms: 2,
            defaults: Limits::default(),
            extra_ca_pem: Vec::new(),
            routes: BTreeMap::new(),
            user_agent: concat!("aftercommit/", env!("CARGO_PKG_VERSION")).to_owned(),
            services: ServiceSettings::default(),
        }
    }
}
