//! Redis: commands of guests to the servers that the operator configured.

mod commands;
mod connection;
mod resp;
mod settings;

use tokio::time::{Instant, timeout_at};

pub(crate) use resp::Reply;
pub use settings::RedisSettings;

use super::{Bounds, pool::Pool, service_tls::ServiceTls};
use crate::{engine::EngineError, secrets::Redaction};
use connection::Connection;
use resp::ReplyError;

/// Why there is no reply. Texts never hold a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RedisFault {
    /// Not granted, or a command that actions may not send.
    Denied(String),
    NotConfigured(String),
    Connect(String),
    /// The server's certificate is not trusted.
    Untrusted(String),
    Timeout,
    /// The limit, in bytes.
    TooLarge(u64),
    Protocol(String),
}

/// One configured server and its connections.
#[derive(Debug)]
pub(crate) struct RedisServer {
    settings: RedisSettings,
    tls: ServiceTls,
    pool: Pool<Connection>,
    /// What is taken out of its words, and of data.
    login: Redaction,
    password: Redaction,
}

impl RedisServer {
    pub(super) fn new(
        name: &str,
        settings: RedisSettings,
        extra_ca_pem: &[Vec<u8>],
    ) -> Result<Self, EngineError> {
        let tls = ServiceTls::open(&format!("redis.{name}"), settings.ca_file.as_deref(), extra_ca_pem)?;
        let pool = Pool::new(settings.max_connections);
        let username = settings.username.as_deref();
        let login = settings.password.as_ref().map(|password| Redaction::of_login(username, password));
        let password = settings.password.as_ref().map(Redaction::of_password);
        let (login, password) = (login.unwrap_or_default(), password.unwrap_or_default());
        Ok(Self { settings, tls, pool, login, password })
    }

    /// Reads again what the settings name. Connections of before are not used any more if others are trusted now.
    pub(super) fn follow(&self) {
        if self.tls.follow() {
            self.pool.renew();
        }
    }

    /// Sends one command and gives its reply, an error reply included.
    pub(super) async fn execute(
        &self,
        command: &str,
        arguments: &[&[u8]],
        bounds: Bounds,
    ) -> Result<Vec<Reply>, RedisFault> {
        if let Some(why) = commands::refused(command) {
            return Err(RedisFault::Denied(why));
        }
        let words: Vec<&[u8]> =
            std::iter::once(command.as_bytes()).chain(arguments.iter().copied()).collect();
        let ended =
            timeout_at(Instant::from_std(bounds.deadline), self.exchange(&words, bounds.response_bytes))
                .await
                .unwrap_or(Err(RedisFault::Timeout));
        match ended {
            Ok(reply) => Ok(reply.into_iter().map(|node| self.node_without_login(node)).collect()),
            Err(fault) => Err(self.fault_without_login(fault)),
        }
    }

    /// A server may repeat what the host has logged in with.
    fn node_without_login(&self, node: Reply) -> Reply {
        match node {
            Reply::Status(text) => Reply::Status(self.login.text(text)),
            Reply::Error(text) => Reply::Error(self.login.text(text)),
            Reply::Data(bytes) => Reply::Data(self.password.bytes(bytes)),
            Reply::Nil | Reply::Integer(_) | Reply::Array(_) => node,
        }
    }

    fn fault_without_login(&self, fault: RedisFault) -> RedisFault {
        match fault {
            RedisFault::Connect(why) => RedisFault::Connect(self.login.text(why)),
            RedisFault::Protocol(why) => RedisFault::Protocol(self.login.text(why)),
            RedisFault::Denied(_)
            | RedisFault::NotConfigured(_)
            | RedisFault::Untrusted(_)
            | RedisFault::Timeout
            | RedisFault::TooLarge(_) => fault,
        }
    }

    async fn exchange(&self, words: &[&[u8]], limit: u64) -> Result<Vec<Reply>, RedisFault> {
        let place = self.pool.place().await;
        while let Some(mut kept) = place.kept() {
            if !kept.is_quiet() {
                continue;
            }
            match kept.execute(words, limit).await {
                // The server closed it at this very moment. It may have done the command before; a delivery's next
                // attempt would repeat it just the same.
                Err(ReplyError::Closed) => {}
                // Nothing was done, and the others lead to the same server.
                Ok(reply) if is_of_another_server(&reply) => place.forget(),
                ended => return self.end(place, kept, ended, limit),
            }
        }
        let mut fresh = match Connection::open(&self.settings, &self.tls.present()).await? {
            Ok(fresh) => fresh,
            Err(refused) => return Ok(vec![refused]),
        };
        let ended = fresh.execute(words, limit).await;
        self.end(place, fresh, ended, limit)
    }

    fn end(
        &self,
        place: super::pool::Place<'_, Connection>,
        connection: Connection,
        ended: Result<Vec<Reply>, ReplyError>,
        limit: u64,
    ) -> Result<Vec<Reply>, RedisFault> {
        let told = |error: ReplyError| format!("{}: {error}", self.settings.endpoint);
        match ended {
            Ok(reply) => {
                if !is_of_another_server(&reply) {
                    place.keep(connection);
                }
                Ok(reply)
            }
            Err(ReplyError::TooLarge) => Err(RedisFault::TooLarge(limit)),
            Err(error @ (ReplyError::Closed | ReplyError::Broken(_))) => {
                Err(RedisFault::Connect(told(error)))
            }
            Err(error @ ReplyError::NotResp(_)) => Err(RedisFault::Protocol(told(error))),
        }
    }
}

/// Whether the server refused the command for what it is, or for what the connection is, and not for what the command says: the
/// address may lead to another server by now (a failover), or this one asks for a login that it did not ask for before. The first word of an error is
/// its kind (<https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>).
fn is_of_another_server(reply: &[Reply]) -> bool {
    const KINDS: [&str; 6] = ["READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "NOAUTH"];
    match reply {
        [Reply::Error(error)] => error.split(' ').next().is_some_and(|kind| KINDS.contains(&kind)),
        _ => false,
    }
}
