//! What FCM's errors mean for a delivery: one table. Source: Firebase's `ErrorCode` (FCM HTTP v1), and Google's canonical
//! statuses where FCM gives no code of its own.

use aftercommit_plugin::{Failure, FailureClass, excerpt, http::Response};
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
    #[serde(rename = "fieldViolations", default)]
    field_violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}

impl Error {
    /// FCM's code, and its other wordings of a device token that is dead: an entity that was not found without a code of FCM's own,
    /// and a token that is none any more ("Manage FCM registration tokens").
    fn code(&self) -> &str {
        let own = self.details.iter().find_map(|detail| detail.error_code.as_deref());
        let code = own.unwrap_or(&self.status);
        let says = |words: &str| self.message.contains(words);
        let violated = || {
            self.details
                .iter()
                .flat_map(|detail| &detail.field_violations)
                .any(|it| it.field == "message.token")
        };
        match code {
            "NOT_FOUND" if says("Requested entity was not found") => UNREGISTERED,
            "INVALID_ARGUMENT" if violated() || says("not a valid FCM registration token") => UNREGISTERED,
            code => code,
        }
    }
}

const UNREGISTERED: &str = "UNREGISTERED";

/// FCM asks for at least a minute when a quota is used up and it names no time ("Scale").
const QUOTA_MS: u64 = 60_000;

/// The failure that a refusal means.
pub(crate) fn failure(response: &Response) -> Failure {
    let error = match response.refusal() {
        Ok(Answer { error }) => error,
        Err(failure) => return failure,
    };
    let code = error.code();
    let message = format!("FCM answered {code}: {}", excerpt(&error.message, 200));
    let transient =
        |code: &str, message| FailureClass::Transient.failure(code, message, response.retry_after_ms);
    let failure = match code {
        UNREGISTERED => Failure::permanent("unregistered", message),
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
        let wordings = [
            (
                404,
                r#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}"#,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"The registration token is not a valid FCM registration token",
                "status":"INVALID_ARGUMENT","details":[{"@type":"t","errorCode":"INVALID_ARGUMENT"}]}}"#,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT",
                "details":[{"@type":"t","fieldViolations":[{"field":"message.token","description":"Invalid registration token"}]}]}}"#,
            ),
        ];
        for (status, text) in wordings {
            assert!(
                matches!(of(status, text), Failure::Permanent(why) if why.code == "unregistered"),
                "{text}"
            );
        }
        let message = r#"{"error":{"code":400,"message":"Invalid value at 'message.data'","status":"INVALID_ARGUMENT",
            "details":[{"@type":"t","fieldViolations":[{"field":"message.data"}]}]}}"#;
        assert!(matches!(of(400, message), Failure::Permanent(why) if why.code == "invalid_argument"));
        let project = r#"{"error":{"code":404,"message":"No such project","status":"NOT_FOUND"}}"#;
        assert!(matches!(of(404, project), Failure::Permanent(why) if why.code == "http_status"));
        let quota = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#;
        assert!(matches!(of(429, quota), Failure::Throttled(delay) if delay.after_ms == QUOTA_MS));
        assert!(matches!(of(502, "<html>"), Failure::Transient(why) if why.code == "http_status"));
    }
}
