//! `[memcached.NAME]`: servers that actions may use by name.

use aftercommit_runtime::MemcachedSettings;

use crate::document::Section;

/// `[memcached.NAME]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemcachedConfig {
    /// `memcached://HOST:PORT`.
    pub url: String,
    /// Connections at the same time; more calls wait.
    pub max_connections: u32,
}

impl MemcachedConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let url = section.text("url");
        match url.as_deref().map(MemcachedSettings::from_url) {
            None => section.missing("url", "memcached://HOST:PORT"),
            // Somebody may have written a password into it, which Memcached does not have.
            Some(Err(why)) => section.secret_problem("url", why),
            Some(Ok(_)) => {}
        }
        let config = Self {
            url: url.unwrap_or_default(),
            max_connections: section.whole("max_connections", 16, 1..=1000),
        };
        section.finish();
        config
    }
}
