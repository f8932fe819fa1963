//! The one way out: every request of every plugin, by the buffered import or by wasi:http, and every use of a configured
//! server (mail, Redis, Memcached), is decided and made here.
//!
//! This module knows nothing of WebAssembly.

mod address;
mod audit;
mod body;
mod ca_file;
mod certificates;
mod client;
mod connector;
mod decision;
mod dial;
mod exchange;
mod failure;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod http_stream;
mod identity;
mod idle;
mod mail;
mod memcached;
mod names;
mod pool;
mod redirects;
mod redis;
mod request;
mod retry_after;
mod route;
mod sending;
mod service_tls;
mod services;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use aftercommit_core::Clock;
use bytes::Bytes;

pub(crate) use audit::Audit;
pub(crate) use body::Cut;
pub(crate) use client::{Client, Clients};
pub(crate) use identity::{Identity, IdentityError};
pub(crate) use idle::DEFAULT_IDLE;
pub(crate) use mail::{Enclosure, Letter, MailFault, Reply as MailReply, Sent as MailSent, check_mailbox};
pub use mail::{SmtpEncryption, SmtpOAuth, SmtpSettings};
pub(crate) use memcached::MemcachedFault;
pub use memcached::MemcachedSettings;
pub use redis::RedisSettings;
pub(crate) use redis::{RedisFault, Reply as RedisReply};
pub(crate) use request::{Decided, forbidden_header};
pub use route::{ProxySettings, RouteSettings};
pub(crate) use services::Services;

use crate::{
    capability::{Effective, Origin},
    hostapi::{ProviderTokens, Tokens},
    secrets::Handles,
};

/// Sends requests for actions.
pub(crate) struct Egress {
    pub(crate) clients: Clients,
    pub(crate) services: Services,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) provider_tokens: ProviderTokens,
}

/// What one action may send, and to whom.
pub(crate) struct Permit {
    /// For the audit: plugin, observer and action.
    pub(crate) who: Arc<Who>,
    pub(crate) audit: Audit,
    pub(crate) effective: Effective,
    pub(crate) handles: Handles,
    pub(crate) client: Arc<Client>,
    /// The origins with connections of their own: they are shown a client certificate, or the operator says more of the way to
    /// them. The first of an origin counts.
    pub(crate) particular: Vec<(Origin, Arc<Client>)>,
    pub(crate) tokens: Tokens,
    pub(crate) decided: Decided,
}

impl Permit {
    /// A permit of one who has no secrets and shows no client certificates.
    pub(crate) fn new(who: Arc<Who>, effective: Effective, clients: &Clients) -> Self {
        Self {
            who,
            audit: Audit::default(),
            client: clients.of(&effective),
            particular: routed(&effective, clients),
            effective,
            handles: Handles::default(),
            tokens: Tokens::default(),
            decided: Decided::default(),
        }
    }

    /// The connections for an origin. One that this action shows no certificate to never meets a connection on which it
    /// has shown one.
    fn client(&self, origin: &Origin) -> &Client {
        let particular = self.particular.iter().find(|(particular, _)| particular == origin);
        particular.map_or(&self.client, |(_, client)| client)
    }
}

fn routed(effective: &Effective, clients: &Clients) -> Vec<(Origin, Arc<Client>)> {
    let origins = effective.origins.iter();
    origins.filter_map(|origin| Some((origin.clone(), clients.routed(effective, origin)?))).collect()
}

/// Whose action it is, for audit and log.
#[derive(Clone, Default, Debug)]
pub(crate) struct Who {
    pub(crate) plugin: String,
    pub(crate) observer: String,
    pub(crate) action: String,
}

/// A request as the guest asks for it; handles stand where secrets will.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) auth: Auth,
    pub(crate) body: Option<Body>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) max_redirects: u32,
    /// The answer is for the host alone: secrets are not taken out of it. A token endpoint may give the same token again.
    pub(crate) verbatim: bool,
}

/// A body: secrets are substituted in text only.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Text(String),
    Bytes(Bytes),
}

/// The `Authorization` that the host writes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    Bearer(String),
    Basic(String, String),
    /// Basic of a form-encoded pair, as token endpoints read it (RFC 6749, 2.3.1).
    FormBasic(String, String),
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// When the attempt's budget is over.
    pub(crate) deadline: Instant,
    /// Headers and body of the response.
    pub(crate) response_bytes: u64,
}

/// A response: its status, and as much of the rest as came within the bounds.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    /// Why headers or body are not whole, if they are not.
    pub(crate) cut: Option<Cut>,
    pub(crate) retry_after_ms: Option<u64>,
    /// What may be told of the URL that was requested last, if redirects led there.
    pub(crate) redirected_to: Option<Arc<str>>,
}

/// Why there is no response. Texts never hold a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum EgressError {
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Dns(String),
    #[error("{0}")]
    Connect(String),
    #[error("{0}")]
    Tls(String),
    /// Of a first hop: nothing was sent.
    #[error("{0}")]
    Certificate(String),
    #[error("no response in time")]
    Timeout,
    #[error("{0}")]
    Protocol(String),
}
