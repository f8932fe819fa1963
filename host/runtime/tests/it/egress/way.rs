//! The imports by which a guest can send a request.

use serde_json::{Value, json};

use crate::fixture::{configure, details, plugin, run};

/// An import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// `aftercommit:action/http`.
    Buffered,
    /// `wasi:http`.
    Wasi,
}

pub(super) const WAYS: [Way; 2] = [Way::Buffered, Way::Wasi];

/// A request in words.
#[derive(Clone, Default, Debug)]
pub(super) struct GuestRequest {
    pub(super) method: Option<String>,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    /// Only wasi:http has them.
    pub(super) trailers: Vec<(String, String)>,
    /// Only the buffered import follows any.
    pub(super) max_redirects: u32,
    pub(super) more: Value,
}

impl GuestRequest {
    pub(super) fn get(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Told {
    /// An answer.
    Answer(Value),
    /// The destination is denied.
    Denied(String),
    /// Another typed error.
    Refused(String),
}

impl Told {
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Answer(_))
    }
}

impl Way {
    /// The guest that sends this way.
    pub(super) const fn guest(self) -> &'static str {
        match self {
            Self::Buffered => "test/hostile",
            Self::Wasi => "test/wasi",
        }
    }

    /// The action that asks for it.
    pub(super) fn written(self, asked: &GuestRequest, grants: &Value) -> Value {
        let mut written = match self {
            Self::Buffered => buffered(asked),
            Self::Wasi => wasi(asked),
        };
        written["grants"] = grants.clone();
        for (key, value) in asked.more.as_object().into_iter().flatten() {
            written[key] = value.clone();
        }
        written
    }

    /// Sends it for an action with these grants.
    pub(super) async fn send(self, asked: &GuestRequest, grants: &Value) -> Told {
        let written = self.written(asked, grants);
        let action = configure(&plugin(self.guest()).await, written).await;
        let details = details(&run(&action).await);
        let answer = if self == Self::Wasi { details["http"].clone() } else { details };
        match answer["error"].as_str() {
            None => Told::Answer(answer),
            Some("denied") => Told::Denied(answer["message"].to_string()),
            Some(error) if error.contains("HttpRequestDenied") => Told::Denied(error.to_owned()),
            Some(_) => Told::Refused(answer.to_string()),
        }
    }
}

fn buffered(asked: &GuestRequest) -> Value {
    json!({
        "do": "http",
        "request": {
            "method": asked.method.as_deref().unwrap_or("GET"), "url": asked.url, "headers": asked.headers,
            "body": asked.body, "max_redirects": asked.max_redirects,
        },
    })
}

/// The URL in pieces, as written: nothing of it is put right on the way.
fn wasi(asked: &GuestRequest) -> Value {
    let (scheme, rest) = asked.url.split_once("://").unwrap_or(("", &asked.url));
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    json!({
        "scheme": scheme, "authority": authority, "path": if path.is_empty() { "/" } else { path },
        "method": asked.method, "headers": asked.headers, "body": asked.body, "trailers": asked.trailers,
    })
}
