//! Commands to a Redis server, and what its errors mean for a delivery.
//!
//! ```no_run
//! use aftercommit_plugin::{Failure, redis};
//!
//! fn forget(key: &str) -> Result<(), Failure> {
//!     redis::execute(redis::DEFAULT, "UNLINK", [key])?;
//!     Ok(())
//! }
//! ```

pub use crate::bindings::aftercommit::action::redis::{Node, RedisError};
use crate::{
    Failure,
    bindings::aftercommit::action::{model::Content, redis},
    excerpt,
};

/// The granted connection of this name, or the only one granted.
pub const DEFAULT: &str = "default";

/// Sends one command and gives the nodes of its reply. A reply that is an error is the failure it means.
pub fn execute<A: Into<Argument>>(
    connection: &str,
    command: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Result<Vec<Node>, Failure> {
    let arguments: Vec<Content> = arguments.into_iter().map(|argument| argument.into().0).collect();
    let nodes = redis::execute(connection, command, &arguments)?;
    match nodes.first() {
        Some(Node::Error(text)) => Err(error_failure(text)),
        _ => Ok(nodes),
    }
}

/// A word of a command.
pub struct Argument(pub Content);

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self(Content::Text(text.to_owned()))
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self(Content::Text(text))
    }
}

impl From<Content> for Argument {
    fn from(content: Content) -> Self {
        Self(content)
    }
}

/// What an error of the server means. Its first word is its kind
/// (<https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>).
#[must_use]
pub fn error_failure(text: &str) -> Failure {
    let kind = text.split(' ').next().unwrap_or_default();
    let text: &str = &excerpt(text, 500);
    match kind {
        // The server will be ready, writable or reachable again.
        "LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY" | "NOREPLICAS"
        | "MISCONF" => Failure::transient("redis_unavailable", text),
        "ERR" if text.starts_with("ERR max number of clients") => {
            Failure::transient("redis_unavailable", text)
        }
        // Before 6.0 a login was refused without a kind of its own; a server without a password refuses any still.
        "ERR" if text.contains("AUTH") || text.starts_with("ERR invalid password") => {
            Failure::misconfigured("redis_auth", text)
        }
        "ERR" if text.starts_with("ERR unknown command") => Failure::misconfigured(
            "redis_error",
            format!("is this a Redis server of version 4 or later, and no Sentinel? {text}"),
        ),
        "OOM" => Failure::transient("redis_out_of_memory", text),
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Failure::misconfigured("redis_auth", text),
        "MOVED" | "ASK" | "CROSSSLOT" => Failure::misconfigured(
            "redis_cluster",
            format!("the server is a node of a cluster, name a server or proxy that serves all keys: {text}"),
        ),
        "WRONGTYPE" => Failure::permanent("redis_wrong_type", text),
        _ => Failure::permanent("redis_error", text),
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error {
            RedisError::Denied(why) => Self::misconfigured("redis_denied", why),
            RedisError::NotConfigured(why) => Self::misconfigured("redis_not_configured", why),
            RedisError::Connect(why) => Self::transient("connect", why),
            RedisError::Timeout => Self::transient("timeout", "no complete reply in time"),
            RedisError::ReplyTooLarge(limit) => Self::permanent(
                "reply_too_large",
                format!("the reply is larger than {limit} bytes (`limits.response_bytes`)"),
            ),
            RedisError::Protocol(why) => Self::transient("protocol", why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_their_kind() {
        for text in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "MISCONF Redis is configured to save RDB snapshots",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR max number of clients reached",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "NOREPLICAS Not enough good replicas to write.",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
        ] {
            assert!(matches!(error_failure(text), Failure::Transient(_)), "{text}");
        }
        for (text, code) in [
            ("NOAUTH Authentication required.", "redis_auth"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "redis_auth"),
            ("NOPERM User app has no permissions to run the 'unlink' command", "redis_auth"),
            (
                "ERR AUTH <password> called without any password configured for the default user.",
                "redis_auth",
            ),
            ("ERR Client sent AUTH, but no password is set", "redis_auth"),
            ("ERR invalid password", "redis_auth"),
            ("ERR unknown command `UNLINK`, with args beginning with: `k`, ", "redis_error"),
            ("ASK 3999 127.0.0.1:6381", "redis_cluster"),
            ("MOVED 3999 127.0.0.1:6381", "redis_cluster"),
            ("CROSSSLOT Keys in request don't hash to the same slot", "redis_cluster"),
        ] {
            let Failure::Misconfigured(problem) = error_failure(text) else { panic!("{text}") };
            assert_eq!(problem.code, code);
        }
        for (text, code) in [
            ("WRONGTYPE Operation against a key holding the wrong kind of value", "redis_wrong_type"),
            ("ERR value is not an integer or out of range", "redis_error"),
            ("", "redis_error"),
        ] {
            let Failure::Permanent(problem) = error_failure(text) else { panic!("{text}") };
            assert_eq!(problem.code, code);
        }
    }
}
