//! What the end of an attempt says of the destination it went to, and of the endpoint there.
//!
//! A *destination* is a server; it is up or down. An *endpoint* is what a delivery goes to there: a path, a channel, a device. It may
//! be gone, refuse the action or fail, while others of the same server are well. So an answer speaks for its endpoint, and only
//! a connection that could not be made speaks for the server.

use std::time::Duration;

use crate::{
    host_failure::{Fault, HostFailure},
    outcome::{AttemptResult, Failure, FailureClass, Problem},
};

/// The code of a permanent failure by which a plugin says that its endpoint is gone for good, and nothing will ever work
/// there again.
const ENDPOINT_GONE: &str = "endpoint_gone";

/// The code by which a plugin says that one recipient of many (a device) is gone: it says nothing of the others.
const UNREGISTERED: &str = "unregistered";

/// Codes by which a plugin reports a failure of its own: of a template that it renders by itself, or of a delivery of a batch that it
/// forgot.
const OWN_FAULT: [&str; 2] = [HostFailure::Template.code(), HostFailure::BatchResult.code()];

/// Status codes of a destination that is up, also where the failure is tried again: a batch was refused for one of its
/// deliveries, and each is to be tried without the others; a mail server waits with one recipient (RFC 5321, 4.2.3), as those
/// that greylist do with every new one (RFC 6647).
const REFUSES_A_PART: [u16; 7] = [400, 409, 413, 422, 450, 451, 452];

/// Codes by which plugins report that no connection to the server was made.
const NOT_CONNECTED: [&str; 3] = ["connect", "dns", "tls"];

/// Status codes that turn the action away, whatever it brings: credentials, rights, payment (RFC 9110, 15.5).
const TURNS_AWAY: [u16; 4] = [401, 402, 403, 407];

/// The one of these that may be about the recipient: a device that belongs to another sender, a resource that is somebody else's.
const FORBIDDEN: u16 = 403;

/// Status codes that say that there is nothing to call at this URL.
const NOTHING_THERE: [u16; 3] = [404, 405, 410];

/// The status code by which a server limits a rate (RFC 6585, 4).
const TOO_MANY_REQUESTS: u16 = 429;

/// What an attempt says of its destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DestinationEvidence {
    /// It answered, and took the request or refused it for good.
    Up,
    /// No answer, or one that says that it can not answer now.
    Down {
        /// Who is.
        scope: Scope,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It can not be trusted: nothing was sent to it.
    Untrusted,
    /// It is up, and takes no more calls for now; it did not say for how long.
    Busy,
    /// It may not have been asked at all.
    None,
}

/// Whom a failure speaks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The endpoint that was asked: it answered, or was silent.
    Endpoint,
    /// The server: nothing connects.
    Server,
}

/// What a failed attempt says of its endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointEvidence {
    /// It turned the action away. Once may be chance.
    Refused,
    /// It is gone.
    Gone,
    /// Nothing.
    None,
}

impl DestinationEvidence {
    /// Of the end of an attempt.
    #[must_use]
    pub fn of(result: &AttemptResult) -> Self {
        let Err(failure) = result else { return Self::Up };
        match failure.class {
            FailureClass::Transient | FailureClass::Throttled => {
                if failure.problem.code.host() == Some(HostFailure::Certificate) {
                    Self::Untrusted
                } else if !may_be_its_fault(&failure.problem) {
                    Self::None
                } else if failure.problem.status.is_some_and(|status| REFUSES_A_PART.contains(&status)) {
                    Self::Up
                } else if failure.problem.status == Some(TOO_MANY_REQUESTS)
                    && failure.retry_after.is_none_or(|asked| asked.is_zero())
                {
                    Self::Busy
                } else {
                    let is_connected = failure.problem.status.is_some()
                        || !failure.problem.code.plugin().is_some_and(|code| NOT_CONNECTED.contains(&code));
                    let scope = if is_connected { Scope::Endpoint } else { Scope::Server };
                    Self::Down { scope, retry_after: failure.retry_after }
                }
            }
            FailureClass::Permanent | FailureClass::Misconfigured => {
                if failure.problem.status.is_some() {
                    Self::Up
                } else {
                    Self::None
                }
            }
        }
    }
}

/// Whether a problem that may pass can be the destination's fault: it is not when the plugin broke a bound or crashed, no instance was
/// free, or a secret was replaced. In a batch, failures that are permanent elsewhere may pass too.
fn may_be_its_fault(problem: &Problem) -> bool {
    match (problem.code.host(), problem.code.plugin()) {
        (Some(failure), _) => matches!(failure.fault(), Fault::Destination | Fault::Unknown),
        (None, code) => !code.is_some_and(|code| OWN_FAULT.contains(&code)),
    }
}

impl EndpointEvidence {
    /// Of a failed attempt. `is_one` when the action's configuration names its endpoint in full. A template makes many endpoints of
    /// it; then one that is gone is one of many, and one that is forbidden for good says nothing of the others.
    #[must_use]
    pub fn of(failure: &Failure, is_one: bool) -> Self {
        let Failure { class, problem, .. } = failure;
        match class {
            FailureClass::Transient | FailureClass::Throttled => return Self::None,
            FailureClass::Permanent | FailureClass::Misconfigured => {}
        }
        let says = |codes: &[u16]| problem.status.is_some_and(|status| codes.contains(&status));
        match problem.code.plugin() {
            Some(UNREGISTERED) => Self::None,
            Some(ENDPOINT_GONE) if is_one => Self::Gone,
            _ if !is_one && *class == FailureClass::Permanent && says(&[FORBIDDEN]) => Self::None,
            _ if says(&TURNS_AWAY) || (is_one && says(&NOTHING_THERE)) => Self::Refused,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn failed(class: FailureClass, code: &str, status: Option<u16>) -> Failure {
        Failure::new(class, Problem { status, ..Problem::of_plugin(code, "made for a test") })
    }

    #[test]
    fn a_destination_is_down_when_it_does_not_answer() {
        use DestinationEvidence::{Busy, Down, None as Nothing, Up};
        use FailureClass::{Misconfigured, Permanent, Throttled, Transient};
        assert_eq!(DestinationEvidence::of(&Ok(Outcome::default())), Up);
        let down = Down { scope: Scope::Endpoint, retry_after: None };
        let dead = Down { scope: Scope::Server, retry_after: None };
        for (class, code, status, expected) in [
            (Transient, "connect", None, dead),
            (Transient, "dns", None, dead),
            (Transient, "tls", None, dead),
            (Transient, "timeout", None, down),
            (Transient, "connect", Some(502), down),
            (Transient, "http_status", Some(503), down),
            (Transient, "smtp_auth", Some(535), down),
            (Throttled, "http_status", Some(429), Busy),
            (Transient, "http_status", Some(429), Busy),
            (Throttled, "http_status", Some(503), down),
            (Transient, "http_status", Some(422), Up),
            (Transient, "smtp_reply", Some(450), Up),
            (Transient, "smtp_reply", Some(421), down),
            (Transient, "template", None, Nothing),
            (Transient, "batch_result", None, Nothing),
            (Permanent, "http_status", Some(400), Up),
            (Misconfigured, "unauthorized", Some(401), Up),
            (Permanent, "template", None, Nothing),
            (Misconfigured, "http_denied", None, Nothing),
        ] {
            assert_eq!(
                DestinationEvidence::of(&Err(failed(class, code, status))),
                expected,
                "{code} {status:?}"
            );
        }
        let asked = Failure {
            retry_after: Some(Duration::from_secs(3)),
            ..Failure::new(Throttled, Problem::of_plugin("http_status", "later"))
        };
        let expected = Down { scope: Scope::Endpoint, retry_after: Some(Duration::from_secs(3)) };
        assert_eq!(DestinationEvidence::of(&Err(asked)), expected);
    }

    #[test]
    fn of_the_hosts_failures_only_silence_speaks_against_a_destination() {
        use DestinationEvidence::{Down, None as Nothing, Untrusted};
        let down = Down { scope: Scope::Endpoint, retry_after: None };
        for &failure in HostFailure::ALL {
            let expected = match failure {
                HostFailure::Timeout | HostFailure::PluginError => down,
                HostFailure::Certificate => Untrusted,
                _ => Nothing,
            };
            // In a batch each may pass, whatever its class is elsewhere.
            let failed = Failure::new(FailureClass::Transient, Problem::of_host(failure, "made for a test"));
            assert_eq!(DestinationEvidence::of(&Err(failed)), expected, "{failure:?}");
        }
    }

    #[test]
    fn a_plugin_can_not_speak_as_the_host() {
        let down = DestinationEvidence::Down { scope: Scope::Endpoint, retry_after: None };
        for code in ["certificate", "plugin_trap", "no_instance", "host_lost"] {
            let reported = failed(FailureClass::Transient, code, None);
            assert_eq!(DestinationEvidence::of(&Err(reported)), down, "{code}");
        }
    }

    #[test]
    fn an_endpoint_is_gone_or_refuses_where_it_is_one() {
        use EndpointEvidence::{Gone, None as Nothing, Refused};
        use FailureClass::{Misconfigured, Permanent, Transient};
        for (class, code, status, one, many) in [
            (Permanent, "endpoint_gone", Some(410), Gone, Nothing),
            (Permanent, "unregistered", Some(410), Nothing, Nothing),
            (Permanent, "unregistered", Some(404), Nothing, Nothing),
            (Permanent, "http_status", Some(404), Refused, Nothing),
            (Permanent, "http_status", Some(401), Refused, Refused),
            (Misconfigured, "unauthorized", Some(401), Refused, Refused),
            (Permanent, "sender_id_mismatch", Some(403), Refused, Nothing),
            (Misconfigured, "permission_denied", Some(403), Refused, Refused),
            (Transient, "smtp_auth", Some(535), Nothing, Nothing),
            (Permanent, "http_status", Some(400), Nothing, Nothing),
            (Permanent, "http_status", Some(422), Nothing, Nothing),
            (Permanent, "http_denied", None, Nothing, Nothing),
            (Transient, "http_status", Some(503), Nothing, Nothing),
        ] {
            let failure = failed(class, code, status);
            assert_eq!(EndpointEvidence::of(&failure, true), one, "{code} {status:?}");
            assert_eq!(EndpointEvidence::of(&failure, false), many, "{code} {status:?}, a templated URL");
        }
    }
}
