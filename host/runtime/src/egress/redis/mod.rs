//! Redis: commands of guests to the servers that the operator configured.

mod commands;
mod connection;
mod resp;
mod settings;

use tokio::time::{Instant, timeout_at};

pub(crate) use resp::Reply;
pub use settings::RedisSettings;

use super::{Bounds, client::Tls, pool::Pool};
use crate::engine::EngineError;
use connection::Connection;
use resp::ReplyError;

/// Why there is no reply. Texts never hold a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RedisFault {
    /// Not granted, or a command that actions may not send.
    Denied(String),
    NotConfigured(String),
    Connect(String),
    Timeout,
    /// The limit, in bytes.
    TooLarge(u64),
    Protocol(String),
}

/// One configured server and its connections.
#[derive(Debug)]
pub(crate) struct RedisServer {
    settings: RedisSettings,
    tls: Tls,
    pool: Pool<Connection>,
}

impl RedisServer {
    pub(super) fn new(settings: RedisSettings, extra_ca_pem: &[Vec<u8>]) -> Result<Self, EngineError> {
        let ca: Vec<Vec<u8>> = extra_ca_pem.iter().chain(&settings.extra_ca_pem).cloned().collect();
        Ok(Self { tls: Tls::new(&ca)?, pool: Pool::new(settings.max_connections), settings })
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
        timeout_at(Instant::from_std(bounds.deadline), self.exchange(&words, bounds.response_bytes))
            .await
            .unwrap_or(Err(RedisFault::Timeout))
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
                ended => return self.end(place, kept, ended, limit),
            }
        }
        let mut fresh = match Connection::open(&self.settings, &self.tls).await? {
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
                place.keep(connection);
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
