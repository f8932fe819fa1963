//! What FCM's errors mean for a delivery: one table. Source: Firebase's `ErrorCode` (FCM HTTP v1), and Google's canonical
//! statuses where FCM gives no code of its own.

use aftercommit_plugin::{Failure, FailureClass, http::Response};
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
}

/// FCM asks for at least a minute when a quota is used up and it names no time ("Scale").
const QUOTA_MS: u64 = 60_000;

/// The failure that a refusal means.
pub(crate) fn failure(response: &Response) -> Failure {
    let error = match response.refusal() {
        Ok(Answer { error }) => error,
        Err(failure) => return failure,
    };
    let own = error.details.into_iter().find_map(|detail| detail.error_code);
    let code = own.unwrap_or(error.status);
    let said: String = error.message.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let message = format!("FCM answered {code}: {said}");
    let transient =
        |code: &str, message| FailureClass::Transient.failure(code, message, response.retry_after_ms);
    let failure = match code.as_str() {
        "UNREGISTERED" => Failure::permanent("unregistered", message),
        "INVALID_ARGUMENT" => Failure::permanent("invalid_argument", message),
        "SENDER_ID_MISMATCH" => Failure::permanent("sender_id_mismatch", message),
        "THIRD_PARTY_AUTH_ERROR" => Failure::misconfigured("third_party_auth_error", message),
        "PERMISSION_DENIED" => Failure::misconfigured("permission_denied", message),
        // The host has the token for up to an hour, and may hold one that was revoked meanwhile.
        "UNAUTHENTICATED" => transient("unauthenticated", message),
        "QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED" => {
            Failure::throttled("quota_exceeded", message, response.retry_after_ms.unwrap_or(QUOTA_MS))
        }
        "UNAVAILABLE" => transient("unavailable", message),
        "INTERNAL" => transient("internal", message),
        _ => return response.failure(),
    };
    failure.with_status(response.status)
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    #[test]
    fn the_code_in_the_details_comes_first() {
        let text = r#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND","details":[
            {"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"x"}]},
            {"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"#;
        let of = |status, text: &str| {
            let body = Content::Text(text.to_owned());
            failure(&Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms: None })
        };
        assert!(
            matches!(of(404, text), Failure::Permanent(why) if why.code == "unregistered" && why.status == Some(404))
        );
        let project = r#"{"error":{"code":404,"message":"No such project","status":"NOT_FOUND"}}"#;
        assert!(matches!(of(404, project), Failure::Permanent(why) if why.code == "http_status"));
        let quota = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#;
        assert!(matches!(of(429, quota), Failure::Throttled(delay) if delay.after_ms == QUOTA_MS));
        assert!(matches!(of(502, "<html>"), Failure::Transient(why) if why.code == "http_status"));
    }
}
