//! `[database]`: where events, deliveries and observers are stored.

use std::{fmt, time::Duration};

use aftercommit_core::without_password;
use aftercommit_store::postgres::PostgresOptions;

use crate::document::Section;

/// `[database]`. All but the URL is for PostgreSQL.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// `sqlite:FILE` or `postgres://USER:PASSWORD@HOST/NAME`. Never print it: see [`without_password`].
    pub url: String,
    /// The schema (namespace) of the host's tables.
    pub schema: String,
    /// Connections at most, the one that hears notifications not counted.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub connect_timeout_ms: u64,
    /// How long to wait for the answer to a statement.
    pub answer_timeout_ms: u64,
    /// Whether `url` leads through a pooler in transaction mode.
    pub pooled: bool,
    /// Where to hear notifications when `url` leads through a pooler. Never print it.
    pub listen_url: Option<String>,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        let options = PostgresOptions::default();
        Self {
            url: "sqlite:aftercommit.db".to_owned(),
            schema: options.schema,
            max_connections: options.max_connections,
            connect_timeout_ms: millis(options.connect_timeout),
            answer_timeout_ms: millis(options.answer_timeout),
            pooled: options.pooled,
            listen_url: options.listen_url,
        }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("url", &without_password(&self.url))
            .field("schema", &self.schema)
            .field("max_connections", &self.max_connections)
            .field("connect_timeout_ms", &self.connect_timeout_ms)
            .field("answer_timeout_ms", &self.answer_timeout_ms)
            .field("pooled", &self.pooled)
            .field("listen_url", &self.listen_url.as_deref().map(without_password))
            .finish()
    }
}

impl DatabaseConfig {
    const SCHEMES: [&'static str; 3] = ["sqlite:", "postgres:", "postgresql:"];

    /// The database of this URL, with the default of everything else.
    pub fn of(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            url: section.text("url").unwrap_or(default.url),
            schema: section.text("schema").unwrap_or(default.schema),
            max_connections: section.whole("max_connections", default.max_connections, 2..=1000),
            connect_timeout_ms: section.whole("connect_timeout_ms", default.connect_timeout_ms, 1..=600_000),
            answer_timeout_ms: section.whole("answer_timeout_ms", default.answer_timeout_ms, 100..=600_000),
            pooled: section.flag("pooled").unwrap_or(default.pooled),
            listen_url: section.text("listen_url"),
        };
        if config.schema.is_empty() {
            section.problem("schema", "the name of a schema is missing, such as \"public\"");
        }
        let forms = "sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME";
        check_scheme(&section, "url", Some(&config.url), &Self::SCHEMES, forms);
        let forms = "postgres://USER:PASSWORD@HOST/NAME";
        check_scheme(&section, "listen_url", config.listen_url.as_ref(), &Self::SCHEMES[1..], forms);
        section.finish();
        config
    }

    /// How to use a PostgreSQL database.
    #[must_use]
    pub fn postgres_options(&self) -> PostgresOptions {
        PostgresOptions {
            schema: self.schema.clone(),
            max_connections: self.max_connections,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            answer_timeout: Duration::from_millis(self.answer_timeout_ms),
            pooled: self.pooled,
            listen_url: self.listen_url.clone(),
        }
    }
}

fn check_scheme(section: &Section<'_>, key: &str, url: Option<&String>, schemes: &[&str], forms: &str) {
    if let Some(url) = url.filter(|url| !schemes.iter().any(|scheme| url.starts_with(scheme))) {
        let shown = without_password(url);
        section.secret_problem(key, format!("`{shown}` is not a database URL: write {forms}"));
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
