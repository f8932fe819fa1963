//! The headers of the request: which are the action's own, and which a user may add.

use aftercommit_plugin::FieldProblem;

/// Standard Webhooks: the delivery's id, by which the receiver knows a repetition.
pub(crate) const ID: &str = "webhook-id";
/// Standard Webhooks: when this attempt was made, in seconds since 1970.
pub(crate) const TIMESTAMP: &str = "webhook-timestamp";
/// Standard Webhooks: the signatures.
pub(crate) const SIGNATURE: &str = "webhook-signature";
/// W3C Trace Context, also the name of the event's attribute.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Headers that frame the message, which the host writes.
const OF_THE_HOST: [&str; 4] = ["host", "content-length", "connection", "transfer-encoding"];

/// What is wrong with the names of the headers.
pub(crate) fn problems<'a>(names: impl Iterator<Item = &'a str>) -> Vec<FieldProblem> {
    let mut seen: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        let lower = name.to_ascii_lowercase();
        let message = if !is_token(name) {
            "this is no name of a header"
        } else if [ID, TIMESTAMP, SIGNATURE].contains(&lower.as_str()) {
            "the action sets this header itself"
        } else if OF_THE_HOST.contains(&lower.as_str()) {
            "the host sets this header itself"
        } else if seen.contains(&lower) {
            "this header is written twice; the case of letters makes no difference"
        } else {
            seen.push(lower);
            continue;
        };
        problems.push(FieldProblem::new(format!("/headers/{}", pointer_part(name)), message));
    }
    problems
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A name inside a JSON pointer (RFC 6901, 3).
fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
