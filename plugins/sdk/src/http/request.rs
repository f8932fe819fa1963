//! Building and sending a request.

use super::{Auth, Content, HttpError, Response};
use crate::bindings::aftercommit::action::http as host;

/// A request. Secret handles may stand in the URL, in header values and in the authentication.
#[derive(Clone, Debug)]
pub struct Request {
    inner: host::Request,
}

impl Request {
    /// A request with any method. The URL is absolute.
    #[must_use]
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            inner: host::Request {
                method: method.to_owned(),
                url: url.into(),
                headers: Vec::new(),
                auth: Auth::None,
                body: None,
                timeout_ms: None,
                max_redirects: 0,
            },
        }
    }

    /// `GET`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST`.
    #[must_use]
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// `PUT`.
    #[must_use]
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// `DELETE`.
    #[must_use]
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.inner.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a header, unless one of that name is there already.
    #[must_use]
    pub fn header_if_absent(self, name: &str, value: impl Into<String>) -> Self {
        if self.inner.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return self;
        }
        self.header(name, value)
    }

    /// Sets `Authorization: Bearer`, often with a secret's handle.
    #[must_use]
    pub fn bearer(mut self, token: impl Into<String>) -> Self {
        self.inner.auth = Auth::Bearer(token.into());
        self
    }

    /// Sets user name and password of HTTP Basic.
    #[must_use]
    pub fn basic(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.inner.auth = Auth::Basic((user.into(), password.into()));
        self
    }

    /// Sets the body, and `Content-Type: application/json` unless a content type was set.
    #[must_use]
    pub fn json(self, body: impl Into<String>) -> Self {
        self.header_if_absent("Content-Type", "application/json").body(Content::Text(body.into()))
    }

    /// Sets the body to an HTML form of these names and values, and its content type unless one was set.
    #[must_use]
    pub fn form<K: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (K, V)>) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header_if_absent("Content-Type", "application/x-www-form-urlencoded").body(Content::Text(body))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Content) -> Self {
        self.inner.body = Some(body);
        self
    }

    /// Bounds the whole exchange; what is left of the attempt's time bounds it anyway.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.inner.timeout_ms = Some(timeout_ms);
        self
    }

    /// Follows up to this many redirects; none by default.
    #[must_use]
    pub fn max_redirects(mut self, max_redirects: u32) -> Self {
        self.inner.max_redirects = max_redirects;
        self
    }

    /// Sends it. Any status is a response; `?` turns an [`HttpError`] into the failure it means.
    pub fn send(&self) -> Result<Response, HttpError> {
        host::send(&self.inner).map(Response::from)
    }
}
