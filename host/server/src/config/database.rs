//! `[database]`: where events, deliveries and observers are stored.

use std::fmt;

use url::Url;

use crate::document::Section;

/// `[database]`
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// `sqlite:FILE` or `postgres://USER:PASSWORD@HOST/NAME`. Never print it: see [`without_password`].
    pub url: String,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: "sqlite:aftercommit.db".to_owned() }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig").field("url", &without_password(&self.url)).finish()
    }
}

impl DatabaseConfig {
    const SCHEMES: [&'static str; 3] = ["sqlite:", "postgres:", "postgresql:"];

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let url = section.text("url").unwrap_or_else(|| Self::default().url);
        if !Self::SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            let shown = without_password(&url);
            section.secret_problem(
                "url",
                format!(
                    "`{shown}` is not a database URL: write sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME"
                ),
            );
        }
        section.finish();
        Self { url }
    }
}

/// A URL as it may be shown: its password is `***`. What is no URL keeps nothing before its last `@`.
#[must_use]
pub fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            let hidden = parsed.set_password(Some("***")).is_ok();
            if hidden { parsed.into() } else { format!("{}:***", parsed.scheme()) }
        }
        Ok(_) => url.to_owned(),
        Err(_) => url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("***@{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hidden_wherever_it_stands() {
        assert_eq!(without_password("postgres://a:b@h/d?x=1"), "postgres://a:***@h/d?x=1");
        assert_eq!(without_password("sqlite:shop.db"), "sqlite:shop.db");
        assert_eq!(without_password("postgres://a:b c@h:port/d"), "***@h:port/d");
        assert_eq!(without_password("shop.db"), "shop.db");
    }
}
