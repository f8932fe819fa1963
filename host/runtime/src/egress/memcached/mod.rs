//! Memcached: keys deleted and set for guests on the servers that the operator configured.

mod connection;
mod settings;

use tokio::time::{Instant, timeout_at};

pub use settings::MemcachedSettings;

use super::{
    Bounds,
    pool::{Place, Pool},
};
use connection::Connection;

/// Why a command was not done. Texts never hold a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MemcachedFault {
    Denied(String),
    NotConfigured(String),
    /// A key that the protocol can not carry.
    InvalidKey(String),
    Connect(String),
    Timeout,
    /// The server's `ERROR` or `CLIENT_ERROR`.
    Refused(String),
    /// The server's `SERVER_ERROR`.
    Server(String),
    Protocol(String),
}

/// One configured server and its connections.
#[derive(Debug)]
pub(crate) struct MemcachedServer {
    settings: MemcachedSettings,
    pool: Pool<Connection>,
}

/// A longer time counts as a date for the server.
const MAX_RELATIVE_SECS: u64 = 60 * 60 * 24 * 30;
const MAX_KEY_BYTES: usize = 250;

impl MemcachedServer {
    pub(super) fn new(settings: MemcachedSettings) -> Self {
        Self { pool: Pool::new(settings.max_connections), settings }
    }

    /// Deletes a key; false when there was none.
    pub(super) async fn delete(&self, key: &str, bounds: Bounds) -> Result<bool, MemcachedFault> {
        check_key(key)?;
        let answer = self.execute(format!("delete {key}\r\n").as_bytes(), bounds).await?;
        match answer.as_str() {
            "DELETED" => Ok(true),
            "NOT_FOUND" => Ok(false),
            _ => Err(fault(&answer)),
        }
    }

    /// Sets a key for `expiry_secs` seconds; 0 for no end. `now_secs` is the present time since 1970.
    pub(super) async fn set(
        &self,
        key: &str,
        value: &[u8],
        expiry_secs: u32,
        now_secs: u64,
        bounds: Bounds,
    ) -> Result<(), MemcachedFault> {
        check_key(key)?;
        let expiry = match u64::from(expiry_secs) {
            secs if secs > MAX_RELATIVE_SECS => now_secs + secs,
            secs => secs,
        };
        let mut wire = format!("set {key} 0 {expiry} {}\r\n", value.len()).into_bytes();
        wire.extend_from_slice(value);
        wire.extend_from_slice(b"\r\n");
        let answer = self.execute(&wire, bounds).await?;
        if answer == "STORED" { Ok(()) } else { Err(fault(&answer)) }
    }

    async fn execute(&self, wire: &[u8], bounds: Bounds) -> Result<String, MemcachedFault> {
        timeout_at(Instant::from_std(bounds.deadline), self.exchange(wire))
            .await
            .unwrap_or(Err(MemcachedFault::Timeout))
    }

    async fn exchange(&self, wire: &[u8]) -> Result<String, MemcachedFault> {
        let place = self.pool.place().await;
        while let Some(mut kept) = place.kept() {
            // Both commands may be repeated.
            if kept.is_quiet()
                && let Some(answer) = kept.execute(wire).await?
            {
                return Ok(end(place, kept, answer));
            }
        }
        let mut fresh = Connection::open(&self.settings).await?;
        let answer = fresh.execute(wire).await?.ok_or_else(|| {
            let endpoint = &self.settings.endpoint;
            MemcachedFault::Connect(format!("{endpoint} closed the connection without an answer"))
        })?;
        Ok(end(place, fresh, answer))
    }
}

/// After an error the server may have closed the connection, or read the value as commands: it is not kept.
fn end(place: Place<'_, Connection>, connection: Connection, answer: String) -> String {
    if matches!(answer.as_str(), "STORED" | "DELETED" | "NOT_FOUND") {
        place.keep(connection);
    }
    answer
}

fn check_key(key: &str) -> Result<(), MemcachedFault> {
    let why = if key.is_empty() {
        "it is empty".to_owned()
    } else if key.len() > MAX_KEY_BYTES {
        format!("it has {} bytes; at most {MAX_KEY_BYTES} are allowed", key.len())
    } else if key.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
        "it has a space, a line break or another control character".to_owned()
    } else {
        return Ok(());
    };
    let shown: String = key.escape_debug().take(80).collect();
    Err(MemcachedFault::InvalidKey(format!("`{shown}` is no key of Memcached: {why}")))
}

fn fault(answer: &str) -> MemcachedFault {
    match answer.split_once(' ').unwrap_or((answer, "")) {
        ("SERVER_ERROR", why) => MemcachedFault::Server(why.to_owned()),
        ("ERROR" | "CLIENT_ERROR", _) => MemcachedFault::Refused(answer.to_owned()),
        _ => {
            let shown: String = answer.escape_debug().take(80).collect();
            MemcachedFault::Protocol(format!("the answer is `{shown}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_not_end_a_command() {
        for key in ["order:7", "a", "schlüssel", &"x".repeat(250)] {
            assert_eq!(check_key(key), Ok(()));
        }
        for key in ["", "a b", "a\r\nflush_all", "a\0", "a\u{7f}", "a\u{85}", "a\u{a0}b", &"x".repeat(251)] {
            assert!(matches!(check_key(key), Err(MemcachedFault::InvalidKey(_))), "{key:?}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(fault("SERVER_ERROR out of memory"), MemcachedFault::Server("out of memory".into()));
        assert!(matches!(fault("CLIENT_ERROR bad data chunk"), MemcachedFault::Refused(_)));
        assert!(matches!(fault("ERROR"), MemcachedFault::Refused(_)));
        assert!(matches!(fault("VALUE x"), MemcachedFault::Protocol(_)));
    }
}
