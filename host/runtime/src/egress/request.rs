//! From a request as asked to one that can leave: method and headers checked, secrets put in.

use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::{Auth, Body, EgressError, Permit, Request};
use crate::{
    capability::Origin,
    dot_segments::dot_segment,
    secrets::{Handles, Refused},
};

/// Headers that the host or the connection decides.
const FORBIDDEN: [&str; 11] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
];

/// Headers with which a guest decides in what form an answer comes: packed, in pieces, as a difference, in other letters. Secrets are
/// looked for in whole and plain answers, so they are the host's where a secret may be sent (RFC 9110, 12.5 and 14; RFC 3229;
/// `Request-Range` is an older name that some servers still know).
const FORMS: [&str; 6] = ["accept-encoding", "range", "if-range", "request-range", "a-im", "accept-charset"];

/// Whether the guest may not set this header.
pub(crate) fn forbidden_header(name: &str) -> bool {
    FORBIDDEN.contains(&name) || name.starts_with("proxy-")
}

/// Whether a header says who sends, whatever its value is.
pub(super) fn is_credential(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("cookie")
}

/// One hop, ready to be sent.
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) origin: Origin,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    /// What may be told of the URL in an error.
    pub(super) shown: Arc<str>,
    /// Whether the destination may know a secret of this action, which an answer may repeat.
    pub(super) may_repeat: bool,
}

/// A URL whose secrets are in their places.
#[derive(Clone)]
pub(super) struct Target {
    url: Url,
    pub(super) origin: Origin,
    shown: Arc<str>,
}

impl Target {
    /// What may be told of the URL.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

/// The URL that an action was sent to last, as it was written, and what was decided. Nearly always the next is the same,
/// and the same action may send to it.
#[derive(Default)]
pub(crate) struct Decided(Mutex<Option<(String, Target)>>);

impl Decided {
    fn recall(&self, text: &str) -> Option<Target> {
        let last = self.0.lock();
        last.as_ref().filter(|(written, _)| written == text).map(|(_, target)| target.clone())
    }

    fn remember(&self, text: &str, target: &Target) {
        // It is kept for as long as the action is, and a guest writes it.
        if text.len() > MAX_REMEMBERED_BYTES {
            return;
        }
        *self.0.lock() = Some((text.to_owned(), target.clone()));
    }
}

/// Longer URLs are decided on each time.
const MAX_REMEMBERED_BYTES: usize = 4 << 10;
/// Longer URLs are sent by no client: `http` takes 65,534 bytes.
const MAX_URL_BYTES: usize = 64 << 10;
/// Headers of one request. The map of them ends the program at some ten thousand, and most servers take a hundred.
const MAX_HEADERS: usize = 1000;

const NOT_A_VALUE: &str = "has a value that HTTP does not allow (a line break or a control character)";

impl Permit {
    /// Decides on the first URL.
    pub(super) fn target(&self, text: &str) -> Result<Target, EgressError> {
        if let Some(target) = self.decided.recall(text) {
            return Ok(target);
        }
        if text.len() > MAX_URL_BYTES {
            let why = format!("a URL has {} bytes; at most {MAX_URL_BYTES} are sent", text.len());
            return Err(EgressError::InvalidRequest(why));
        }
        let secret = Handles::suspects(text);
        let (written, used) = if secret { self.handles.url(text) } else { (text.to_owned(), Vec::new()) };
        // A URL with a secret in it is not shown at all: a plugin could read the secret from the error.
        let unparsed = if secret {
            "the URL (not shown, it holds a secret)".to_owned()
        } else {
            format!("`{}`", cut(text.to_owned()))
        };
        // The parser would take them away, and what stands before them.
        if dot_segment(&written).is_some() {
            let why = format!("{unparsed} has a segment `.` or `..`, which leads out of its path");
            return Err(EgressError::InvalidRequest(why));
        }
        let url = Url::parse(&written)
            .map_err(|error| EgressError::InvalidRequest(format!("{unparsed} is not a URL: {error}")))?;
        let shown = if secret { unparsed } else { shown(&url) };
        let origin = self.decide(&url, &shown)?;
        for entry in used {
            entry.check(&origin).map_err(|refused| self.refused(&shown, &refused))?;
        }
        let target = Target { url, origin, shown: shown.into() };
        if !secret {
            self.decided.remember(text, &target);
        }
        Ok(target)
    }

    /// How many headers a request leaves with, if it may be sent.
    pub(crate) fn prepare(&self, request: &Request) -> Result<usize, EgressError> {
        let target = self.target(&request.url)?;
        Ok(self.hop(request, Method::GET, target, true)?.headers.len())
    }

    /// Decides on where a redirect leads.
    pub(super) fn redirected(&self, url: Url, secret: bool) -> Result<Target, EgressError> {
        // Many servers repeat the path and the query that they were asked for.
        let carried = self.handles.found_in(url.as_str().as_bytes());
        let shown = if secret || !carried.is_empty() {
            "the redirect's URL (not shown, it holds a secret)".to_owned()
        } else {
            shown(&url)
        };
        let origin = self.decide(&url, &shown)?;
        for entry in carried {
            entry.check(&origin).map_err(|refused| self.refused(&shown, &refused))?;
        }
        Ok(Target { url, origin, shown: shown.into() })
    }

    /// The hop to `target`. `with_secrets` is false once a redirect has left the first origin: then everything that
    /// holds a secret or credentials stays behind.
    pub(super) fn hop(
        &self,
        request: &Request,
        method: Method,
        target: Target,
        with_secrets: bool,
    ) -> Result<Hop, EgressError> {
        let Target { url, origin, shown } = target;
        if request.headers.len() > MAX_HEADERS {
            let count = request.headers.len();
            let why = format!("the request has {count} headers; at most {MAX_HEADERS} are sent");
            return Err(EgressError::InvalidRequest(why));
        }
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 1);
        for (name, value) in &request.headers {
            if let Some((name, value)) = self.header(name, value, &origin, &shown, with_secrets)? {
                headers.append(name, value);
            }
        }
        let may_repeat = self.handles.any_towards(&origin);
        if may_repeat {
            for name in FORMS {
                headers.remove(name);
            }
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if with_secrets && let Some(value) = self.authorization(&request.auth, &origin, &shown)? {
            headers.insert(header::AUTHORIZATION, value);
        }
        let body = request.body.as_ref().map(|body| self.body(body, &origin, &shown)).transpose()?;
        Ok(Hop { method, url, origin, headers, body, shown, may_repeat })
    }

    fn header(
        &self,
        name: &str,
        value: &str,
        origin: &Origin,
        shown: &str,
        with_secrets: bool,
    ) -> Result<Option<(HeaderName, HeaderValue)>, EgressError> {
        let invalid =
            |why: &str| EgressError::InvalidRequest(format!("the header `{}` {why}", name.escape_debug()));
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("has a name that HTTP does not allow"))?;
        if forbidden_header(parsed.as_str()) {
            return Err(invalid("is the host's to set"));
        }
        let credentials = is_credential(parsed.as_str());
        let suspect = Handles::suspects(value);
        if !with_secrets && (credentials || suspect) {
            return Ok(None);
        }
        if !suspect {
            let value = HeaderValue::from_str(value).map_err(|_| invalid(NOT_A_VALUE))?;
            return Ok(Some((parsed, value)));
        }
        let (value, secret) =
            self.handles.value(value, origin).map_err(|refused| self.refused(shown, &refused))?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| invalid(NOT_A_VALUE))?;
        value.set_sensitive(secret);
        Ok(Some((parsed, value)))
    }

    fn authorization(
        &self,
        auth: &Auth,
        origin: &Origin,
        shown: &str,
    ) -> Result<Option<HeaderValue>, EgressError> {
        let fill = |text: &str| {
            self.handles
                .value(text, origin)
                .map(|(text, _)| text)
                .map_err(|refused| self.refused(shown, &refused))
        };
        let basic = |user: &str, password: &str| {
            let pair = Zeroizing::new(format!("{user}:{password}"));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()))
        };
        let form = |text: String| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let text = match auth {
            Auth::None => return Ok(None),
            Auth::Bearer(token) => format!("Bearer {}", fill(token)?),
            Auth::Basic(user, password) => basic(&fill(user)?, &fill(password)?),
            Auth::FormBasic(user, password) => basic(&form(fill(user)?), &form(fill(password)?)),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            EgressError::InvalidRequest(
                "the token of `auth` holds a line break or a control character".to_owned(),
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn body(&self, body: &Body, origin: &Origin, shown: &str) -> Result<Bytes, EgressError> {
        match body {
            Body::Bytes(bytes) if Handles::suspects_bytes(bytes) => {
                Err(self.denied(shown, "a secret is put into a body that is text only"))
            }
            Body::Bytes(bytes) => Ok(bytes.clone()),
            Body::Text(text) if Handles::suspects(text) => {
                let filled =
                    self.handles.body(text, origin).map_err(|refused| self.refused(shown, &refused))?;
                Ok(Bytes::from(filled))
            }
            Body::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        }
    }

    fn refused(&self, shown: &str, refused: &Refused) -> EgressError {
        let why = match refused {
            Refused::Destination(name) => {
                format!("the secret `{name}` is not granted to this action towards that origin")
            }
            Refused::Body(name) => format!(
                "the secret `{name}` is not put into a body: the plugin's schema does not mark its field `x-secret-body`"
            ),
        };
        self.denied(shown, &why)
    }
}

/// What may be told of a URL: never its query, which often holds a key.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Neither can fail on a URL that has a host; on one without there is no user information.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    cut(shown.into())
}

/// A URL in errors and in the audit; a guest may write one of any length.
const MAX_SHOWN_CHARS: usize = 300;

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_SHOWN_CHARS) {
        text.truncate(end);
        text.push_str("..");
    }
    text
}

/// Methods that are about the connection, not about what is at its end, in any case of letters: the forbidden methods of
/// the Fetch standard (2.2.1).
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// A request's method.
pub(super) fn method(text: &str) -> Result<Method, EgressError> {
    let forbidden = FORBIDDEN_METHODS.iter().any(|name| name.eq_ignore_ascii_case(text));
    Method::from_bytes(text.as_bytes()).ok().filter(|_| !forbidden).ok_or_else(|| {
        let shown: String = text.escape_debug().take(40).collect();
        EgressError::InvalidRequest(format!("`{shown}` is not a method that can be sent"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_and_shown_of_a_url_is_bounded() {
        let url = Url::parse(&format!("https://a.example/{}?key=x", "p".repeat(5000))).unwrap();
        let shown = shown(&url);
        assert!(shown.starts_with("https://a.example/ppp") && shown.ends_with("p..") && shown.len() == 302);
        let decided = Decided::default();
        let target = Target { origin: Origin::of(&url).unwrap(), shown: shown.into(), url };
        decided.remember(target.url.as_str(), &target);
        assert!(decided.recall(target.url.as_str()).is_none());
        decided.remember("https://a.example/", &target);
        assert!(decided.recall("https://a.example/").is_some());
    }
}
