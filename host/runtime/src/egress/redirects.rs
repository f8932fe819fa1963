//! Which redirects are followed. A request is repeated as it is, with its method and body, or its redirect is the answer: an event that
//! became an empty `GET`, or lost its credentials on the way, would be taken for delivered.

use http::{Method, StatusCode, header};

use super::{
    Auth, Body, EgressError, Permit, Request,
    request::{Hop, Target, is_credential},
};
use crate::secrets::Handles;

/// More are never followed, whatever the plugin asks for.
const MAX_REDIRECTS: u32 = 10;

/// The redirects of one request.
pub(super) struct Redirects {
    left: u32,
    /// A secret stands in the URL.
    secret_url: bool,
    credentials: Credentials,
    /// Whether the next hop has them: it is of the first origin, and so were all before.
    pub(super) with_secrets: bool,
    /// Whether any was followed.
    pub(super) followed: bool,
}

impl Redirects {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            left: request.max_redirects.min(MAX_REDIRECTS),
            secret_url: Handles::suspects(&request.url),
            credentials: Credentials::of(request),
            with_secrets: true,
            followed: false,
        }
    }

    /// Where the request is repeated, if this answer asks for that and it may be. A destination that is not granted is an error.
    pub(super) fn next<B>(
        &mut self,
        permit: &Permit,
        hop: &Hop,
        answer: &http::Response<B>,
    ) -> Result<Option<Target>, EgressError> {
        if self.left == 0 || !repeats(answer.status(), &hop.method) {
            return Ok(None);
        }
        let Some(location) = answer.headers().get(header::LOCATION) else { return Ok(None) };
        let url =
            location.to_str().ok().and_then(|location| hop.url.join(location).ok()).ok_or_else(|| {
                EgressError::Protocol(format!("{}: redirects to something that is not a URL", hop.shown))
            })?;
        let target = permit.redirected(url, self.secret_url)?;
        if target.origin != hop.origin {
            // What was meant for TLS does not go on in plain text.
            let unprotected = hop.origin.is_https() && !target.origin.is_https();
            if unprotected || !self.credentials.stay_behind(&hop.method) {
                return Ok(None);
            }
            // Once left, the first origin's credentials do not come back.
            self.with_secrets = false;
        }
        self.left -= 1;
        self.followed = true;
        tracing::debug!(from = &*hop.shown, to = target.shown(), "a redirect is followed");
        Ok(Some(target))
    }
}

/// Where a request says who sends it.
#[derive(Clone, Copy)]
enum Credentials {
    Nowhere,
    Headers,
    Body,
}

impl Credentials {
    fn of(request: &Request) -> Self {
        let header = |(name, value): &(String, String)| is_credential(name) || Handles::suspects(value);
        if matches!(&request.body, Some(Body::Text(text)) if Handles::suspects(text)) {
            Self::Body
        } else if !matches!(request.auth, Auth::None) || request.headers.iter().any(header) {
            Self::Headers
        } else {
            Self::Nowhere
        }
    }

    /// Whether the request means the same to another origin without them. One that only reads does.
    fn stay_behind(self, method: &Method) -> bool {
        match self {
            Self::Nowhere => true,
            Self::Headers => is_read(method),
            Self::Body => false,
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a redirect of this status is followed with the same method and the same body (RFC 9110, 15.4): always with 307 and
/// 308. Most clients make a `GET` of a `POST` that is answered 301 or 302, and of everything that is answered 303; the Fetch
/// standard ("HTTP-redirect fetch", 12) keeps other methods.
fn repeats(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        301 | 302 => *method != Method::POST,
        303 => is_read(method),
        307 | 308 => true,
        _ => false,
    }
}
