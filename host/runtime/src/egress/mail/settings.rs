//! Where the mail server is and how to talk to it.

use std::path::PathBuf;

use lettre::message::Mailbox;
use url::Url;

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

/// Who logs in, and with what. Secrets are named; they are read for each new connection.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) proof: Proof,
}

#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// The name of the secret that holds the password.
    Password(String),
    /// An access token (SASL XOAUTH2).
    Token(SmtpOAuth),
}

/// How the host is given access tokens for the mail server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SmtpOAuth {
    /// The client credentials grant (RFC 6749, 4.4), as Microsoft 365 takes it.
    ClientCredentials {
        /// The token endpoint: `https`, or `http` on this machine.
        token_url: Url,
        /// The client's id.
        client_id: String,
        /// Name of the secret that holds the client's secret.
        client_secret: String,
        /// What the token is for.
        scope: Option<String>,
        /// Whether the client's secret goes into the body (`client_secret_post`) and not into HTTP Basic.
        is_in_body: bool,
    },
    /// A service account's key file (RFC 7523), as Google Workspace takes it. The account acts for the user who logs in.
    ServiceAccount {
        /// Name of the secret that holds the key file's JSON.
        key_file: String,
        /// What the token is for.
        scope: String,
    },
}

impl SmtpOAuth {
    /// Name of the secret that it needs.
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::ClientCredentials { client_secret, .. } => client_secret,
            Self::ServiceAccount { key_file, .. } => key_file,
        }
    }
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    pub(super) endpoint: Endpoint,
    pub(super) encryption: SmtpEncryption,
    pub(super) login: Option<Login>,
    pub(super) from: Option<Mailbox>,
    /// Connections at the same time; more mails wait. Default 8.
    pub max_connections: u32,
    /// A file of certificates (PEM) trusted beside the platform's. Followed when it changes.
    pub ca_file: Option<PathBuf>,
}

impl SmtpSettings {
    /// A server without login and without a default sender.
    pub fn new(host: impl Into<String>, port: u16, encryption: SmtpEncryption) -> Self {
        let endpoint = Endpoint { host: host.into(), port };
        Self { endpoint, encryption, login: None, from: None, max_connections: 8, ca_file: None }
    }

    /// Logs in. `password_secret` is the name of the secret that holds the password.
    #[must_use]
    pub fn with_login(mut self, username: impl Into<String>, password_secret: impl Into<String>) -> Self {
        self.login =
            Some(Login { username: username.into(), proof: Proof::Password(password_secret.into()) });
        self
    }

    /// Logs in with an access token.
    #[must_use]
    pub fn with_oauth(mut self, username: impl Into<String>, oauth: SmtpOAuth) -> Self {
        self.login = Some(Login { username: username.into(), proof: Proof::Token(oauth) });
        self
    }

    /// The sender of messages that name none, as a mailbox (RFC 5322, 3.4): `Shop <shop@example.com>`.
    pub fn with_from(mut self, mailbox: &str) -> Result<Self, String> {
        self.from = Some(super::mailbox::mailbox(mailbox)?);
        Ok(self)
    }

    /// Name of the secret that the login needs.
    pub(crate) fn login_secret(&self) -> Option<&str> {
        self.login.as_ref().map(|login| match &login.proof {
            Proof::Password(secret) => secret,
            Proof::Token(oauth) => oauth.secret(),
        })
    }
}
