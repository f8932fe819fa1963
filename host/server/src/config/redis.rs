//! `[redis.NAME]`: servers that actions may use by name.

use std::fmt;

use super::without_password;
use crate::document::Section;

/// `[redis.NAME]`
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RedisConfig {
    /// `redis://USER:PASSWORD@HOST:PORT/DB` or `rediss://` with TLS. Never print it.
    pub url: String,
}

impl RedisConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let url = section.text("url");
        match &url {
            None => section.missing("url", "redis://HOST:PORT/DB, or rediss:// with TLS"),
            Some(url) if !url.starts_with("redis://") && !url.starts_with("rediss://") => {
                let shown = without_password(url);
                section.secret_problem("url", format!("`{shown}` does not start with redis:// or rediss://"));
            }
            Some(_) => {}
        }
        section.finish();
        Self { url: url.unwrap_or_default() }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("url", &without_password(&self.url)).finish()
    }
}
