//! Reading a response.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::{Content, classify::redirect_failure, status_failure};
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
    /// Headers or body are longer than the action's limit, or the body ended early or did not end in time: only what came
    /// and fits is here. Or it came packed, though nobody asked, and is withheld. The status counts all the same.
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

    /// The body as JSON. A success that is not what the API promises is a transient failure: something stands between. So
    /// is a body that was cut before it said enough, with the code `response_cut`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let text = self.text();
        // Of a number that was cut what is left is a number too.
        let ends_within = self.truncated && text.ends_with(|last: char| last.is_ascii_digit());
        let read = if ends_within { None } else { Some(serde_json::from_str(&text)) };
        let failure = match read {
            Some(Ok(read)) => return Ok(read),
            Some(Err(error)) if !self.truncated => Failure::transient(
                "unexpected_response",
                format!("the response is not the expected JSON: {error}"),
            ),
            Some(Err(_)) | None => Failure::transient(
                "response_cut",
                format!(
                    "the destination answered {}, and what decides stands in a body that is not whole: \
                     it is longer than `limits.response_bytes`, ended early, did not end in time or came packed",
                    self.status
                ),
            ),
        };
        Err(failure.with_status(self.status))
    }

    /// The same for whom the status says enough: nothing when the body was cut before it said more.
    pub fn json_unless_truncated<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        match self.json() {
            Err(_) if self.truncated => Ok(None),
            read => read.map(Some),
        }
    }

    /// What an API says of a request that it refused. Without it the failure is the one that the status means, but an answer that
    /// would end the delivery and was cut is asked for again: its body says what is to be done.
    pub fn refusal<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        self.json().map_err(|unread| match self.failure() {
            Failure::Permanent(_) if self.truncated => unread,
            by_status => by_status,
        })
    }

    /// The response if its status is 2xx, else the failure that its status means.
    pub fn success(self) -> Result<Self, Failure> {
        self.success_if(|status| (200..300).contains(&status))
    }

    /// The response if its status is one of the caller's, else the failure that its status means.
    pub fn success_if(self, is_success: impl FnOnce(u16) -> bool) -> Result<Self, Failure> {
        if is_success(self.status) { Ok(self) } else { Err(self.failure()) }
    }

    /// The failure that the status means, with the first words of the body and, of a redirect, the origin that it leads to.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let location = self.header("location").filter(|_| (300..400).contains(&self.status));
        match location {
            Some(location) => redirect_failure(self.status, location),
            None => status_failure(self.status, self.retry_after_ms, &self.text()),
        }
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
    use serde_json::Value;

    use super::*;

    fn response(status: u16, text: &str, truncated: bool) -> Response {
        let body = Content::Text(text.to_owned());
        Response { status, headers: Vec::new(), body, truncated, retry_after_ms: None }
    }

    fn told(failure: &Failure) -> (&str, bool) {
        (&failure.problem().code, matches!(failure, Failure::Transient(_)))
    }

    #[test]
    fn a_cut_body_fails_only_who_needs_it() {
        let cut = response(200, r#"{"ok":tr"#, true);
        assert!(cut.clone().success().is_ok());
        assert!(matches!(cut.json_unless_truncated::<Value>(), Ok(None)));
        assert_eq!(told(&cut.json::<Value>().expect_err("it is cut")), ("response_cut", true));
        // All was said before the connection ended.
        let whole = response(200, r#"{"ok":true}"#, true);
        assert!(
            whole.json::<Value>().is_ok() && matches!(whole.json_unless_truncated::<Value>(), Ok(Some(_)))
        );
        assert!(response(200, "12", true).json::<u32>().is_err(), "it may have been 123");
        assert_eq!(response(200, "12", false).json::<u32>().expect("a number"), 12);
        let wrong = response(200, "<html>", false);
        assert_eq!(
            told(&wrong.json_unless_truncated::<Value>().expect_err("no JSON")),
            ("unexpected_response", true)
        );
    }

    #[test]
    fn a_redirect_names_the_origin_that_it_leads_to() {
        let to = |location: &str| {
            let headers = vec![("location".to_owned(), location.to_owned())];
            Response { headers, ..response(302, "<html>", false) }.failure().problem().message.clone()
        };
        let away = to("https://b.example:8443/hook?key=1");
        assert!(away.contains("302 (a redirect, which was not followed)"), "{away}");
        assert!(away.ends_with("it leads to https://b.example:8443: configure the URL at its end"), "{away}");
        assert!(!away.contains("key"), "{away}");
        assert!(to("/hook/").contains("it leads to another path of the same origin"));
    }

    #[test]
    fn a_refusal_that_was_cut_is_asked_for_again_where_it_would_end_the_delivery() {
        let of = |status, text: &str, truncated| response(status, text, truncated).refusal::<Value>();
        assert!(of(400, r#"{"code":7}"#, true).is_ok());
        assert_eq!(told(&of(400, r#"{"co"#, true).expect_err("it is cut")), ("response_cut", true));
        assert_eq!(told(&of(400, "<html>", false).expect_err("no JSON")), ("http_status", false));
        assert_eq!(told(&of(503, r#"{"co"#, true).expect_err("it is cut")), ("http_status", true));
    }
}
