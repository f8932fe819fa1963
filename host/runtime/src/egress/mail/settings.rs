//! Where the mail server is and how to talk to it.

use lettre::message::Mailbox;

use crate::egress::dial::Endpoint;

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmtpEncryption {
    /// Plain at first, then upgraded (RFC 3207). A server that can not is not used.
    Starttls,
    /// TLS from the first byte (RFC 8314, 3.3).
    Implicit,
    /// Plain text.
    None,
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    pub(super) endpoint: Endpoint,
    pub(super) encryption: SmtpEncryption,
    /// User name, and the name of the secret that holds the password. It is read for each new connection.
    pub(super) login: Option<(String, String)>,
    pub(super) from: Option<Mailbox>,
    /// Connections at the same time; more mails wait. Default 8.
    pub max_connections: u32,
    /// Certificates (PEM) trusted beside the platform's.
    pub extra_ca_pem: Option<Vec<u8>>,
}

impl SmtpSettings {
    /// A server without login and without a default sender.
    pub fn new(host: impl Into<String>, port: u16, encryption: SmtpEncryption) -> Self {
        let endpoint = Endpoint { host: host.into(), port };
        Self { endpoint, encryption, login: None, from: None, max_connections: 8, extra_ca_pem: None }
    }

    /// Logs in. `password_secret` is the name of the secret that holds the password.
    #[must_use]
    pub fn with_login(mut self, username: impl Into<String>, password_secret: impl Into<String>) -> Self {
        self.login = Some((username.into(), password_secret.into()));
        self
    }

    /// The sender of messages that name none, as a mailbox (RFC 5322, 3.4): `Shop <shop@example.com>`.
    pub fn with_from(mut self, mailbox: &str) -> Result<Self, String> {
        self.from = Some(super::mailbox::mailbox(mailbox)?);
        Ok(self)
    }

    /// Name of the secret that holds the password.
    pub(crate) fn password_secret(&self) -> Option<&str> {
        self.login.as_ref().map(|(_, secret)| secret.as_str())
    }
}
