//! What APNs' reasons mean for a delivery: one table. Source: Apple's "Handling notification responses from APNs".

use aftercommit_plugin::{
    Failure,
    FailureClass::{self, Misconfigured, Permanent, Transient},
    http::Response,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

/// A provider token may change every 20 minutes, and before that nothing else helps.
const TOKEN_UPDATE_MS: u64 = 20 * 60 * 1000;
const TOO_MANY_TOKENS: &str = "TooManyProviderTokenUpdates";

/// Reason, class, and the failure's code.
const TABLE: &[(&str, FailureClass, &str)] = &[
    // The device.
    ("Unregistered", Permanent, "unregistered"),
    ("BadDeviceToken", Permanent, "unregistered"),
    ("ExpiredToken", Permanent, "unregistered"),
    ("DeviceTokenNotForTopic", Permanent, "device_token_not_for_topic"),
    ("MissingDeviceToken", Permanent, "invalid_device_token"),
    // The notification.
    ("PayloadTooLarge", Permanent, "payload_too_large"),
    ("PayloadEmpty", Permanent, "bad_notification"),
    ("BadCollapseId", Permanent, "bad_notification"),
    ("BadExpirationDate", Permanent, "bad_notification"),
    ("BadMessageId", Permanent, "bad_notification"),
    ("BadPriority", Permanent, "bad_notification"),
    ("DuplicateHeaders", Permanent, "bad_notification"),
    // The key, the team, the app.
    ("BadTopic", Misconfigured, "bad_topic"),
    ("MissingTopic", Misconfigured, "bad_topic"),
    ("TopicDisallowed", Misconfigured, "bad_topic"),
    ("InvalidPushType", Misconfigured, "bad_topic"),
    ("InvalidProviderToken", Misconfigured, "invalid_provider_token"),
    ("MissingProviderToken", Misconfigured, "invalid_provider_token"),
    ("UnrelatedKeyIdInToken", Misconfigured, "invalid_provider_token"),
    ("BadEnvironmentKeyIdInToken", Misconfigured, "invalid_provider_token"),
    ("BadCertificate", Misconfigured, "invalid_provider_token"),
    ("BadCertificateEnvironment", Misconfigured, "invalid_provider_token"),
    ("Forbidden", Misconfigured, "invalid_provider_token"),
    ("BadPath", Misconfigured, "bad_path"),
    ("MethodNotAllowed", Misconfigured, "bad_path"),
    // What passes. A token of ours is at most 40 minutes old: one that has expired says that clocks differ.
    ("ExpiredProviderToken", Transient, "expired_provider_token"),
    (TOO_MANY_TOKENS, Transient, "too_many_provider_token_updates"),
    ("TooManyRequests", Transient, "too_many_requests"),
    ("IdleTimeout", Transient, "unavailable"),
    ("InternalServerError", Transient, "unavailable"),
    ("ServiceUnavailable", Transient, "unavailable"),
    ("Shutdown", Transient, "unavailable"),
];

/// The failure that a refusal means. A reason that is not in the table goes by its status.
pub(crate) fn failure(response: &Response) -> Failure {
    let Refusal { reason } = match response.refusal() {
        Ok(refusal) => refusal,
        Err(failure) => return failure,
    };
    let Some((reason, class, code)) = TABLE.iter().find(|(known, ..)| *known == reason) else {
        return response.failure();
    };
    let hint = match *reason {
        "BadDeviceToken" => ": the token is none, or of the other environment (`api_url`)",
        "ExpiredProviderToken" => ": the clocks of this host and APNs differ",
        _ => "",
    };
    let message = format!("APNs answered {reason}{hint}");
    let unless_told = (*reason == TOO_MANY_TOKENS).then_some(TOKEN_UPDATE_MS);
    class.failure(code, message, response.retry_after_ms.or(unless_told)).with_status(response.status)
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    #[test]
    fn reasons_stand_once_and_unknown_ones_go_by_status() {
        for (position, (reason, _, code)) in TABLE.iter().enumerate() {
            assert!(include_str!("../README.md").contains(&format!("`{code}`")), "the README has no {code}");
            assert!(TABLE[position + 1..].iter().all(|(other, ..)| other != reason), "{reason} stands twice");
        }
        let of = |status, text: &str| {
            let body = Content::Text(text.to_owned());
            failure(&Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms: None })
        };
        let gone = of(410, r#"{"reason":"Unregistered","timestamp":1454948015990}"#);
        assert!(
            matches!(gone, Failure::Permanent(why) if why.code == "unregistered" && why.status == Some(410))
        );
        assert!(
            matches!(of(403, r#"{"reason":"SomethingNew"}"#), Failure::Permanent(why) if why.code == "http_status")
        );
        assert!(matches!(of(503, ""), Failure::Transient(_)));
        let updates = of(429, r#"{"reason":"TooManyProviderTokenUpdates"}"#);
        assert!(matches!(updates, Failure::Throttled(delay) if delay.after_ms == TOKEN_UPDATE_MS));
    }
}
