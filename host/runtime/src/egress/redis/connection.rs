//! One connection to a Redis server: logged in, its database selected, one command at a time.

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;

use super::{
    RedisFault,
    resp::{self, Reply, ReplyError},
    settings::RedisSettings,
};
use crate::egress::{
    client::Tls,
    dial::{DialError, Wire, is_quiet},
};

/// A connection between two commands.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Box<dyn Wire>,
    buffer: BytesMut,
}

/// Replies while a connection is made are one line.
const HANDSHAKE_BYTES: u64 = 64 << 10;

impl Connection {
    /// Connects and logs in. What the server refuses is given as its error reply, for whoever asked to classify.
    pub(super) async fn open(settings: &RedisSettings, tls: &Tls) -> Result<Result<Self, Reply>, RedisFault> {
        let endpoint = &settings.endpoint;
        let fault = |error: DialError| match error {
            DialError::Certificate(why) => RedisFault::Untrusted(why),
            DialError::Other(why) => RedisFault::Connect(why),
        };
        let stream = endpoint.connect().await.map_err(fault)?;
        let stream: Box<dyn Wire> = if settings.tls {
            Box::new(endpoint.encrypt(tls, stream).await.map_err(fault)?)
        } else {
            Box::new(stream)
        };
        let mut connection = Self { stream, buffer: BytesMut::new() };
        if let Some(password) = &settings.password {
            let words = settings.username.iter().map(String::as_str).chain([password.expose()]);
            if let Some(refused) = connection.prepare("AUTH", words).await? {
                return Ok(Err(refused));
            }
        }
        if settings.database != 0 {
            let database = settings.database.to_string();
            if let Some(refused) = connection.prepare("SELECT", [database.as_str()].into_iter()).await? {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(connection))
    }

    /// Sends a command of the host's own; gives the error reply, if it is one.
    async fn prepare<'w>(
        &mut self,
        command: &'w str,
        arguments: impl Iterator<Item = &'w str>,
    ) -> Result<Option<Reply>, RedisFault> {
        let words: Vec<&[u8]> = std::iter::once(command).chain(arguments).map(str::as_bytes).collect();
        let mut reply = self
            .execute(&words, HANDSHAKE_BYTES)
            .await
            .map_err(|error| RedisFault::Connect(error.to_string()))?;
        Ok(reply.pop().filter(|reply| matches!(reply, Reply::Error(_))))
    }

    /// Sends a command and reads its reply. After an error the connection must not be used again.
    pub(super) async fn execute(&mut self, words: &[&[u8]], limit: u64) -> Result<Vec<Reply>, ReplyError> {
        let wire = resp::command(words.iter().copied());
        // A server that has closed the connection tells so when it is read from.
        if self.stream.write_all(&wire).await.is_err() || self.stream.flush().await.is_err() {
            return Err(ReplyError::Closed);
        }
        resp::reply(&mut self.stream, &mut self.buffer, limit).await
    }

    /// Whether nothing has arrived since the last reply: neither the end of the connection nor a stray byte.
    pub(super) fn is_quiet(&mut self) -> bool {
        is_quiet(&mut self.stream)
    }
}
