//! E-mail: messages of guests over the mail server that the operator configured.

mod connection;
#[cfg(test)]
mod hard_cases;
mod mailbox;
mod message;
mod metered;
mod refusal;
mod settings;
mod starttls;
#[cfg(test)]
mod tests;
mod token;
mod xoauth2;

use std::{sync::Arc, time::SystemTime};

use tokio::time::{Instant, timeout_at};

pub(crate) use mailbox::check_mailbox;
pub(crate) use message::{Enclosure, Letter};
pub use settings::{SmtpEncryption, SmtpOAuth, SmtpSettings};

use super::{Bounds, Egress, pool::Pool, service_tls::ServiceTls};
use crate::{
    engine::EngineError,
    secrets::{Redaction, Secret, SecretProvider},
};
use connection::{Connection, Credential};
use refusal::Refusal;
use settings::{Login, Proof};
use token::LoginToken;

/// A reply of the mail server (RFC 5321, 4.2); code 0 when there was none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) message: String,
}

impl Reply {
    pub(crate) fn connection(message: impl Into<String>) -> Self {
        Self { code: 0, message: message.into() }
    }
}

/// What a server took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    /// Without angle brackets.
    pub(crate) message_id: String,
    /// The recipients that it refused for good, each with its reply: `a***@example.com (550 no such user)`.
    pub(crate) refused: Vec<String>,
}

/// Why a message was not sent. Texts never hold a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MailFault {
    InvalidMessage(String),
    Denied(String),
    NotConfigured(String),
    /// The certificate of the server, or of the endpoint of its tokens, is not trusted.
    Untrusted(String),
    /// 4yz, no login, or no connection (code 0).
    Transient(Reply),
    /// Another 5yz.
    Permanent(Reply),
}

/// The server wants a login, or refuses it (RFC 4954, 6). The login is the host's, so that says nothing of a message: all
/// of them can be sent once the operator has mended it. Postfix goes by the same (`smtp_sasl_auth_soft_bounce`).
const NO_LOGIN: [u16; 4] = [530, 534, 535, 538];

impl MailFault {
    fn of(code: u16, message: impl Into<String>) -> Self {
        let reply = Reply { code, message: message.into() };
        if code >= 500 && !NO_LOGIN.contains(&code) { Self::Permanent(reply) } else { Self::Transient(reply) }
    }
}

/// Words of the server as they are told: short, without what a terminal would obey, and without what the host logs in with.
fn told(text: &str, login: &Redaction) -> String {
    login.text(text.to_owned()).chars().filter(|letter| !letter.is_control()).take(MAX_TOLD_CHARS).collect()
}

const MAX_TOLD_CHARS: usize = 500;

/// The configured mail server and its connections.
pub(crate) struct MailServer {
    settings: SmtpSettings,
    tls: ServiceTls,
    pool: Pool<Connection>,
    secrets: Arc<dyn SecretProvider>,
    token: LoginToken,
}

impl MailServer {
    pub(super) fn new(
        settings: SmtpSettings,
        extra_ca_pem: &[Vec<u8>],
        secrets: Arc<dyn SecretProvider>,
    ) -> Result<Self, EngineError> {
        let tls = ServiceTls::open("smtp", settings.ca_file.as_deref(), extra_ca_pem)?;
        let pool = Pool::new(settings.max_connections);
        Ok(Self { tls, pool, settings, secrets, token: LoginToken::default() })
    }

    /// Reads again what the settings name. Connections of before are not used any more if others are trusted now.
    pub(super) fn follow(&self) {
        if self.tls.follow() {
            self.pool.renew();
        }
    }

    /// Sends a message; returns once the server has taken it, for one recipient at least.
    pub(super) async fn send(
        &self,
        egress: &Egress,
        letter: &Letter,
        delivery: &str,
        now: SystemTime,
        bounds: Bounds,
    ) -> Result<Sent, MailFault> {
        let prepared =
            letter.prepare(self.settings.from.as_ref(), delivery, now).map_err(MailFault::InvalidMessage)?;
        let sent =
            timeout_at(Instant::from_std(bounds.deadline), self.exchange(egress, &prepared, bounds)).await;
        let refused = refusal::lines(&sent.unwrap_or_else(|_| Err(self.silent()))?);
        Ok(Sent { message_id: prepared.message_id, refused })
    }

    fn silent(&self) -> MailFault {
        let message = format!("{}: no answer in time", self.settings.endpoint);
        MailFault::Transient(Reply::connection(message))
    }

    async fn exchange(
        &self,
        egress: &Egress,
        prepared: &message::Prepared,
        bounds: Bounds,
    ) -> Result<Vec<Refusal>, MailFault> {
        let place = self.pool.place().await;
        let mut connection = loop {
            let Some(mut kept) = place.kept() else { break self.open(prepared, egress, bounds).await? };
            // Asked before the message, so that one the server has closed costs nothing.
            if kept.is_ready().await {
                break kept;
            }
        };
        let ended = connection.send(&prepared.envelope, &prepared.bytes).await;
        // A server that refuses a message takes the next one; one that says 421 is about to close (RFC 5321, 3.8).
        let sound = match &ended {
            Ok(_) | Err(MailFault::InvalidMessage(_)) => true,
            Err(MailFault::Transient(reply) | MailFault::Permanent(reply)) => !matches!(reply.code, 0 | 421),
            Err(_) => false,
        };
        if sound {
            place.keep(connection);
        }
        ended
    }

    async fn open(
        &self,
        prepared: &message::Prepared,
        egress: &Egress,
        bounds: Bounds,
    ) -> Result<Connection, MailFault> {
        let credential = match &self.settings.login {
            Some(login) => Some(self.credential(login, egress, bounds).await?),
            None => None,
        };
        // RFC 5321, 4.1.1.1 wants a name; the sender's domain is the one that is certainly there.
        let tls = self.tls.present();
        let opened = Connection::open(&self.settings, &tls, &prepared.domain, credential.as_ref()).await;
        if let Err(MailFault::Transient(reply)) = &opened
            && NO_LOGIN.contains(&reply.code)
        {
            self.token.refused(egress).await;
        }
        opened
    }

    async fn credential<'s>(
        &self,
        Login { username, proof }: &'s Login,
        egress: &Egress,
        bounds: Bounds,
    ) -> Result<Credential<'s>, MailFault> {
        let (secret, is_token) = match proof {
            Proof::Password(name) => (self.secret(name)?, false),
            Proof::Token(oauth) => {
                let secret = self.secret(oauth.secret())?;
                (self.token.get(egress, oauth, username, &secret, bounds).await?, true)
            }
        };
        Ok(Credential { username, secret, is_token })
    }

    fn secret(&self, name: &str) -> Result<Secret, MailFault> {
        let found = self.secrets.secret(name).map_err(|error| MailFault::NotConfigured(error.to_string()))?;
        found.ok_or_else(|| {
            let place = self.secrets.place(name);
            MailFault::NotConfigured(format!(
                "there is no secret `{name}` for the login at the mail server ({place})"
            ))
        })
    }
}
