//! The one place that says what an HTTP result means for a delivery.

use super::{HttpError, display::origin};
use crate::{Failure, FailureClass, excerpt};

/// Code of every failure that a status code caused; the status tells more.
const HTTP_STATUS: &str = "http_status";

/// How much of a response's text a failure quotes, in characters. Enough for the message of an API's error.
const EXCERPT_CHARS: usize = 200;

/// The failure that a status code means. `text` is the response's body.
///
/// | status | failure |
/// |---|---|
/// | 408, 425, 429, 5xx | throttled with `Retry-After`, else transient |
/// | 3xx | permanent: redirects that were not followed |
/// | 410 and the other 4xx | permanent |
/// | 1xx, 2xx, others | permanent: not what the action accepts |
#[must_use]
pub fn status_failure(status: u16, retry_after_ms: Option<u64>, text: &str) -> Failure {
    let mut message = format!("the destination answered {status}");
    if let Some(meaning) = status_meaning(status) {
        message.push_str(" (");
        message.push_str(meaning);
        message.push(')');
    }
    let quoted = excerpt(text, EXCERPT_CHARS);
    if !quoted.is_empty() {
        message.push_str(": ");
        message.push_str(&quoted);
    }
    let class = match status {
        408 | 425 | 429 | 500..=599 => FailureClass::Transient,
        _ => FailureClass::Permanent,
    };
    class.failure(HTTP_STATUS, message, retry_after_ms).with_status(status)
}

/// The failure of a redirect that was not followed. Of where it leads only the origin is named: the rest may carry a secret.
pub(super) fn redirect_failure(status: u16, location: &str) -> Failure {
    let Failure::Permanent(mut problem) = status_failure(status, None, "") else {
        unreachable!("a redirect is a permanent failure")
    };
    problem.message.push_str("; it leads to ");
    problem.message.push_str(origin(location).unwrap_or("another path of the same origin"));
    problem.message.push_str(": configure the URL at its end");
    Failure::Permanent(problem)
}

/// What the common status codes mean to the operator who reads the failure.
#[must_use]
pub fn status_meaning(status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => "a redirect, which was not followed",
        400 => "it does not accept this request",
        401 => "no or wrong credentials",
        403 => "not allowed",
        404 => "no such address",
        405 => "not with this method",
        408 => "it waited too long for the request",
        410 => "gone for good",
        413 => "the body is too large",
        415 => "not this content type",
        425 => "too early",
        429 => "too many requests",
        500 => "an error of its own",
        502 => "bad gateway",
        503 => "not available now",
        504 => "gateway timeout",
        _ => return None,
    })
}

impl From<HttpError> for Failure {
    /// What never left this host is the operator's to put right; what broke on the way may work later.
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::InvalidRequest(why) => Self::misconfigured("invalid_request", why),
            HttpError::Denied(why) => Self::misconfigured("http_denied", why),
            HttpError::Dns(why) => Self::transient("dns", why),
            HttpError::Connect(why) => Self::transient("connect", why),
            HttpError::Tls(why) => Self::transient("tls", why),
            HttpError::Timeout => Self::transient("timeout", "no response in time"),
            HttpError::Protocol(why) => Self::transient("protocol", why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(failure: &Failure) -> &'static str {
        match failure {
            Failure::Misconfigured(_) => "misconfigured",
            Failure::Permanent(_) => "permanent",
            Failure::Transient(_) => "transient",
            Failure::Throttled(_) => "throttled",
        }
    }

    #[test]
    fn statuses_are_classified() {
        for (statuses, expected) in [
            (&[408, 425, 429, 500, 501, 502, 503, 504, 599][..], "transient"),
            (&[400, 401, 403, 404, 409, 410, 422, 499][..], "permanent"),
            (&[100, 204, 301, 302, 304, 308, 600][..], "permanent"),
        ] {
            for &status in statuses {
                let failure = status_failure(status, None, "");
                assert_eq!(class(&failure), expected, "{status}");
                assert_eq!(failure.problem().status, Some(status));
            }
        }
    }

    #[test]
    fn retry_after_counts_only_where_a_retry_makes_sense() {
        for status in [429, 503] {
            let Failure::Throttled(delay) = status_failure(status, Some(1500), "") else {
                panic!("{status}")
            };
            assert_eq!((delay.after_ms, delay.why.status), (1500, Some(status)));
        }
        assert_eq!(class(&status_failure(301, Some(1500), "")), "permanent");
        assert_eq!(class(&status_failure(404, Some(1500), "")), "permanent");
    }

    #[test]
    fn errors_are_classified() {
        for (error, expected) in [
            (HttpError::InvalidRequest(String::new()), "misconfigured"),
            (HttpError::Denied(String::new()), "misconfigured"),
            (HttpError::Dns(String::new()), "transient"),
            (HttpError::Connect(String::new()), "transient"),
            (HttpError::Tls(String::new()), "transient"),
            (HttpError::Timeout, "transient"),
            (HttpError::Protocol(String::new()), "transient"),
        ] {
            assert_eq!(class(&error.into()), expected);
        }
    }

    #[test]
    fn the_message_quotes_one_short_line() {
        let message = |text: &str| status_failure(400, None, text).problem().message.clone();
        assert_eq!(message("  "), "the destination answered 400 (it does not accept this request)");
        assert!(message("bad\r\n\tfield   `x`").ends_with(": bad field `x`"));
        let long = message(&"é".repeat(500));
        assert!(
            long.ends_with("é…") && long.chars().filter(|&c| c == 'é').count() == EXCERPT_CHARS,
            "{long}"
        );
    }
}
