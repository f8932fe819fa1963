//! `[smtp]`: the mail server of the `email` action.

use std::{net::IpAddr, path::PathBuf};

use aftercommit_runtime::{SmtpEncryption, SmtpSettings};

use super::smtp_oauth::SmtpOAuthConfig;
use crate::document::Section;

/// `[smtp]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmtpConfig {
    /// The server's name.
    pub host: String,
    /// Its port; by default the usual one for `tls`.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Who logs in; without one, nobody does.
    pub username: Option<String>,
    /// Name of the secret that holds the password, or what `oauth2` needs: an environment variable, or a file of `[secrets]`.
    pub password_env: Option<String>,
    /// Logs in with an access token instead of a password.
    pub oauth2: Option<SmtpOAuthConfig>,
    /// The sender of mails that name none.
    pub from: Option<String>,
    /// Certificates (PEM) trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections at the same time; more mails wait.
    pub max_connections: u32,
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SmtpTls {
    /// Plain at first, then upgraded (RFC 3207); refused when the server can not.
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// Plain text. For a server on this machine.
    None,
}

impl SmtpTls {
    const NAMES: [(&'static str, Self); 3] =
        [("starttls", Self::Starttls), ("implicit", Self::Implicit), ("none", Self::None)];

    const fn usual_port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

impl SmtpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let host = section.text("host");
        let tls = section.choice("tls", &SmtpTls::NAMES).unwrap_or_default();
        let config = Self {
            host: host.clone().unwrap_or_default(),
            port: section.whole("port", tls.usual_port(), 1..=65_535),
            tls,
            username: section.text("username"),
            password_env: section.text("password_env"),
            oauth2: SmtpOAuthConfig::read(section.section("oauth2")),
            from: section.text("from"),
            ca_file: section.text("ca_file").map(PathBuf::from),
            max_connections: section.whole("max_connections", 8, 1..=1000),
        };
        let present = section.is_present();
        if present && host.is_none() {
            section.missing("host", "the mail server's name");
        }
        if config.username.is_some() && config.password_env.is_none() {
            section.missing("password_env", "the environment variable that holds the password of `username`");
        }
        if config.username.is_none() && config.password_env.is_some() {
            section.missing("username", "who logs in with the password of `password_env`");
        }
        if config.tls == SmtpTls::None && config.username.is_some() && !is_this_machine(&config.host) {
            let message = format!(
                "the login would go to {} in plain text: write \"starttls\" or \"implicit\"",
                config.host
            );
            section.problem("tls", message);
        }
        if config.oauth2.is_some() && config.username.is_none() {
            section.missing("username", "the mailbox that the token of `oauth2` is for");
        }
        if let Err(why) = config.settings() {
            section.problem("from", why);
        }
        section.finish();
        present.then_some(config)
    }

    /// The server as the runtime takes it, without `ca_file`.
    pub fn settings(&self) -> Result<SmtpSettings, String> {
        let encryption = match self.tls {
            SmtpTls::Starttls => SmtpEncryption::Starttls,
            SmtpTls::Implicit => SmtpEncryption::Implicit,
            SmtpTls::None => SmtpEncryption::None,
        };
        let mut settings = SmtpSettings::new(&self.host, self.port, encryption);
        if let (Some(username), Some(password)) = (&self.username, &self.password_env) {
            settings = match &self.oauth2 {
                Some(oauth2) => settings.with_oauth(username, oauth2.settings(password)),
                None => settings.with_login(username, password),
            };
        }
        settings.max_connections = self.max_connections;
        match &self.from {
            Some(from) => settings.with_from(from),
            None => Ok(settings),
        }
    }
}

pub(super) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        assert!(["localhost", "127.0.0.1", "::1", "[::1]"].into_iter().all(is_this_machine));
        assert!(!["mail.example.com", "10.0.0.1", "127.0.0.1.example.com"].into_iter().any(is_this_machine));
    }
}
