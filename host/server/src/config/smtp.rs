//! `[smtp]`: the mail server of the `email` action.

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
    /// Name of the environment variable that holds the password.
    pub password_env: Option<String>,
    /// The sender of mails that name none.
    pub from: Option<String>,
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
            from: section.text("from"),
        };
        let present = section.is_present();
        if present && host.is_none() {
            section.missing("host", "the mail server's name");
        }
        if config.username.is_some() && config.password_env.is_none() {
            section.missing("password_env", "the environment variable that holds the password of `username`");
        }
        section.finish();
        present.then_some(config)
    }
}
