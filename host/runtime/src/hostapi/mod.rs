//! What a guest may call, one file an interface. Each checks the phase, counts the call and asks the module that knows.

mod clock;
mod held;
mod http;
mod jwt;
mod log;
mod mail;
mod memcached;
mod provider_token;
mod redis;
mod secrets;
mod template;
mod token;
mod token_grant;
mod wasi_http;

pub(crate) use log::LogSink;
pub(crate) use provider_token::ProviderTokens;
pub(crate) use token::{TokenFault, Tokens, access_token};
pub(crate) use wasi_http::GuestRequests;

use crate::{
    bindings::aftercommit::action::model::{Content, Host},
    calling::guest::Guest,
};

// The interface has types only.
impl Host for Guest {}

/// Why a handle is not sent to one of the host's own servers.
const ONLY_HTTP: &str = "a secret is put into HTTP requests only";

/// A content as bytes.
fn content_bytes(content: &Content) -> &[u8] {
    match content {
        Content::Text(text) => text.as_bytes(),
        Content::Bytes(bytes) => bytes,
    }
}
