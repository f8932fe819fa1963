//! `[admin]`: the page for health, metrics and the dead letter queue.

use std::net::{Ipv4Addr, SocketAddr};

use crate::document::Section;

/// `[admin]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminConfig {
    /// Where it listens; `None`, written `"off"`, for nowhere. Port 0 takes any free one.
    pub listen: Option<SocketAddr>,
    /// Name of the environment variable that holds the token for what changes something.
    pub token_env: String,
}

impl AdminConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let listen = match section.text("listen").as_deref() {
            None => default.listen,
            Some("off") => None,
            Some(text) => text.parse().map_or_else(
                |_| {
                    let message =
                        format!("`{text}` is not an address and port such as 127.0.0.1:7410, or \"off\"");
                    section.problem("listen", message);
                    default.listen
                },
                Some,
            ),
        };
        let config = Self { listen, token_env: section.text("token_env").unwrap_or(default.token_env) };
        section.finish();
        config
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 7410))),
            token_env: "AFTERCOMMIT_ADMIN_TOKEN".to_owned(),
        }
    }
}
