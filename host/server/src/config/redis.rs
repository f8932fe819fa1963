//! `[redis.NAME]`: servers that actions may use by name.

use std::{fmt, path::PathBuf};

use aftercommit_core::without_password;
use aftercommit_runtime::RedisSettings;

use crate::document::Section;

/// `[redis.NAME]`
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// `redis://USER:PASSWORD@HOST:PORT/DB` or `rediss://` with TLS. Never print it.
    pub url: String,
    /// Certificates (PEM) trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections at the same time; more calls wait.
    pub max_connections: u32,
}

impl RedisConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let url = section.text("url");
        match url.as_deref().map(RedisSettings::from_url) {
            None => section.missing("url", "redis://HOST:PORT/DB, or rediss:// with TLS"),
            Some(Err(why)) => section.secret_problem("url", why),
            Some(Ok(_)) => {}
        }
        let config = Self {
            url: url.unwrap_or_default(),
            ca_file: section.text("ca_file").map(PathBuf::from),
            max_connections: section.whole("max_connections", 16, 1..=1000),
        };
        section.finish();
        config
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &without_password(&self.url))
            .field("ca_file", &self.ca_file)
            .field("max_connections", &self.max_connections)
            .finish()
    }
}
