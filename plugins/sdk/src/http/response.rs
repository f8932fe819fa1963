//! Reading a response.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::{Content, status_failure};
use crate::{Failure, bindings::aftercommit::action::http as host};

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Content,
    /// Headers or body are longer than the action's limit, and only what fits is here. The status counts all the same.
    pub truncated: bool,
    /// `Retry-After` in milliseconds from now.
    pub retry_after_ms: Option<u64>,
}

impl Response {
    /// A header's first value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.body {
            Content::Text(text) => Cow::Borrowed(text),
            Content::Bytes(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The body as JSON. A success that is not what the API promises is a transient failure: something stands between.
    /// A body that was cut is a permanent failure: it arrived, and would be answered at the same length again.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.truncated {
            let message = "the response is longer than the action's `limits.response_bytes`";
            return Err(Failure::permanent("response_too_large", message).with_status(self.status));
        }
        serde_json::from_str(&self.text()).map_err(|error| {
            Failure::transient(
                "unexpected_response",
                format!("the response is not the expected JSON: {error}"),
            )
            .with_status(self.status)
        })
    }

    /// The same for whom the status says enough: nothing when the body was cut.
    pub fn json_unless_truncated<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        if self.truncated { Ok(None) } else { self.json().map(Some) }
    }

    /// The response if its status is 2xx, else the failure that its status means.
    pub fn success(self) -> Result<Self, Failure> {
        self.success_if(|status| (200..300).contains(&status))
    }

    /// The response if its status is one of the caller's, else the failure that its status means.
    pub fn success_if(self, is_success: impl FnOnce(u16) -> bool) -> Result<Self, Failure> {
        if is_success(self.status) { Ok(self) } else { Err(self.failure()) }
    }

    /// The failure that the status means, with the first words of the body.
    #[must_use]
    pub fn failure(&self) -> Failure {
        status_failure(self.status, self.retry_after_ms, &self.text())
    }
}

impl From<host::Response> for Response {
    fn from(response: host::Response) -> Self {
        let host::Response { status, headers, body, truncated, retry_after_ms } = response;
        Self { status, headers, body, truncated, retry_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(truncated: bool) -> Response {
        let body = Content::Text(r#"{"ok":true}"#.to_owned());
        Response { status: 200, headers: Vec::new(), body, truncated, retry_after_ms: None }
    }

    #[test]
    fn a_cut_body_fails_only_who_needs_it() {
        assert!(response(true).success().is_ok());
        assert!(matches!(response(true).json_unless_truncated::<serde_json::Value>(), Ok(None)));
        assert!(matches!(response(false).json_unless_truncated::<serde_json::Value>(), Ok(Some(_))));
        assert!(response(false).json::<serde_json::Value>().is_ok());
        let failure = response(true).json::<serde_json::Value>().expect_err("it is cut");
        assert!(matches!(failure, Failure::Permanent(ref problem) if problem.code == "response_too_large"));
    }
}
