//! One connection to the mail server: encrypted as configured, logged in, one message at a time.

use lettre::{
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt, Rset},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};

use super::{
    MailFault, Reply,
    metered::{Metered, Room},
    refusal::Refusal,
    settings::{SmtpEncryption, SmtpSettings},
    starttls, told, xoauth2,
};
use crate::{
    egress::{
        client::Tls,
        dial::{DialError, Wire},
    },
    secrets::{Redaction, Secret},
};

/// In the order of preference; both send the password as it is, so only TLS protects it.
const PASSWORDS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// What the client of the mail crate takes for the greeting, when that was read before the upgrade to TLS.
const GREETING: &[u8] = b"220 ready\r\n";

/// Who logs in, and with what.
pub(super) struct Credential<'a> {
    pub(super) username: &'a str,
    pub(super) secret: Secret,
    /// An access token, and no password.
    pub(super) is_token: bool,
}

impl Credential<'_> {
    async fn log_in(&self, smtp: &mut AsyncSmtpConnection, login: &Redaction) -> Result<(), MailFault> {
        let lacks = |mechanism: &str| {
            let message = format!("the server offers {mechanism} (`username` in [smtp])");
            Err(MailFault::Transient(Reply::connection(message)))
        };
        let info = smtp.server_info();
        if self.is_token {
            if !info.supports_auth_mechanism(Mechanism::Xoauth2) {
                return lacks("no AUTH XOAUTH2");
            }
            return xoauth2::log_in(smtp, self.username, &self.secret, login).await;
        }
        if info.get_auth_mechanism(&PASSWORDS).is_none() {
            return lacks("neither AUTH PLAIN nor AUTH LOGIN");
        }
        let credentials = Credentials::new(self.username.to_owned(), self.secret.expose().to_owned());
        smtp.auth(&PASSWORDS, &credentials).await.map_err(|error| fault(&error, login))?;
        Ok(())
    }
}

/// A connection between two messages.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    room: Room,
    /// What the server may repeat and nobody is told.
    login: Redaction,
}

impl Connection {
    /// Connects, encrypts, greets as `hello` and logs in.
    pub(super) async fn open(
        settings: &SmtpSettings,
        tls: &Tls,
        hello: &str,
        credential: Option<&Credential<'_>>,
    ) -> Result<Self, MailFault> {
        let endpoint = &settings.endpoint;
        let login =
            credential.map(|it| Redaction::of_login(Some(it.username), &it.secret)).unwrap_or_default();
        let no_stream = |error: DialError| match error {
            DialError::Certificate(why) => MailFault::Untrusted(told(&why, &login)),
            DialError::Other(why) => MailFault::Transient(Reply::connection(told(&why, &login))),
        };
        let stream = endpoint.connect().await.map_err(no_stream)?;
        let peer = stream.peer_addr().map_err(|error| no_stream(DialError::Other(error.to_string())))?;
        let (stream, first): (Box<dyn Wire>, &'static [u8]) = match settings.encryption {
            SmtpEncryption::None => (Box::new(stream), b""),
            SmtpEncryption::Implicit => {
                (Box::new(endpoint.encrypt(tls, stream).await.map_err(no_stream)?), b"")
            }
            SmtpEncryption::Starttls => {
                let stream = starttls::ask(stream, hello, &login).await?;
                (Box::new(endpoint.encrypt(tls, stream).await.map_err(no_stream)?), GREETING)
            }
        };
        let room = Room::new();
        let stream = Box::new(Metered::new(stream, peer, first, room.clone()));
        let hello = ClientId::Domain(hello.to_owned());
        let mut smtp = AsyncSmtpConnection::connect_with_transport(stream, &hello)
            .await
            .map_err(|error| fault(&error, &login))?;
        if let Some(credential) = credential {
            credential.log_in(&mut smtp, &login).await?;
        }
        Ok(Self { smtp, room, login })
    }

    /// Whether the server is still there, with nothing left of a message before.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.room.renew();
        self.smtp.command(Rset).await.is_ok()
    }

    /// Hands over one message; returns the recipients that the server refused for good while it took the message for others.
    /// After an error the connection must not be used again.
    pub(super) async fn send(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Vec<Refusal>, MailFault> {
        let mut parameters = Vec::new();
        let info = self.smtp.server_info();
        let lacks = |extension: &str| {
            MailFault::InvalidMessage(format!("it needs {extension}, which the mail server does not offer"))
        };
        let addresses = envelope.from().into_iter().chain(envelope.to());
        if addresses.into_iter().any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            if !info.supports_feature(Extension::SmtpUtfEight) {
                return Err(lacks("SMTPUTF8 (an address has letters beyond ASCII)"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !message.is_ascii() {
            if !info.supports_feature(Extension::EightBitMime) {
                return Err(lacks("8BITMIME"));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        self.smtp
            .command(Mail::new(envelope.from().cloned(), parameters))
            .await
            .map_err(|error| fault(&error, &self.login))?;
        let mut refused = Vec::new();
        for recipient in envelope.to() {
            let asked = self.smtp.command(Rcpt::new(recipient.clone(), Vec::new())).await;
            match asked.map_err(|error| fault(&error, &self.login)) {
                Ok(_) => {}
                // It concerns this recipient alone; the others are asked too, so that the failure names all.
                Err(MailFault::Transient(reply) | MailFault::Permanent(reply)) if reply.code != 0 => {
                    refused.push(Refusal::new(recipient, reply));
                }
                Err(broken) => return Err(broken),
            }
        }
        let refused = Refusal::accepted_by_others(refused, envelope.to().len())?;
        self.smtp.command(Data).await.map_err(|error| fault(&error, &self.login))?;
        self.smtp.message(message).await.map_err(|error| fault(&error, &self.login))?;
        Ok(refused)
    }
}

/// What went wrong. Replies of the server are its own words; they are told, because they say what to do.
pub(super) fn fault(error: &Error, login: &Redaction) -> MailFault {
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    match error.status() {
        Some(code) => MailFault::of(u16::from(code), told(&text, login)),
        None => MailFault::Transient(Reply::connection(told(&text, login))),
    }
}
