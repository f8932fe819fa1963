//! What Slack's error codes mean for a delivery: one table for webhooks and the Web API.
//!
//! Sources, in Slack's developer documentation: "chat.postMessage", its list of errors; the changelog of 2016-05-17, "Improving
//! error conditions for Incoming Webhooks". What the README names as undocumented is reported by those who met it.

use aftercommit_plugin::{
    Failure,
    FailureClass::{self, Misconfigured, Permanent, Transient},
    excerpt,
};

/// Code, class, and what to do, where the code does not say it.
const TABLE: &[(&str, FailureClass, &str)] = &[
    ("ratelimited", Transient, "too many messages"),
    ("rate_limited", Transient, "too many messages"),
    ("message_limit_exceeded", Transient, "too many messages"),
    ("internal_error", Transient, "an error of Slack's own"),
    ("fatal_error", Transient, "an error of Slack's own"),
    ("rollup_error", Transient, "an error of Slack's own"),
    ("service_unavailable", Transient, ""),
    ("request_timeout", Transient, "Slack did not get the whole request"),
    ("team_added_to_org", Transient, "the workspace is being moved"),
    ("org_login_required", Transient, "the workspace is being moved"),
    ("not_authed", Misconfigured, "the token is empty"),
    ("invalid_auth", Misconfigured, "the token is wrong, or not allowed from this address"),
    ("token_revoked", Misconfigured, "make a new token"),
    ("token_expired", Misconfigured, "make a new token"),
    ("account_inactive", Misconfigured, "the token's user or workspace is gone"),
    ("not_allowed_token_type", Misconfigured, "use a bot token (xoxb-)"),
    ("missing_scope", Misconfigured, "give the app the scope chat:write and install it again"),
    ("no_permission", Misconfigured, "the app is not a member of the conversation"),
    ("access_denied", Misconfigured, ""),
    ("accesslimited", Misconfigured, "the workspace does not take requests from this network"),
    ("ekm_access_denied", Misconfigured, "the workspace's administrators have suspended posting"),
    ("enterprise_is_restricted", Misconfigured, ""),
    ("team_access_not_granted", Misconfigured, "install the app in that workspace"),
    ("two_factor_setup_required", Misconfigured, ""),
    ("method_deprecated", Misconfigured, ""),
    ("deprecated_endpoint", Misconfigured, ""),
    ("invalid_token", Misconfigured, "the webhook's URL is wrong or expired; make a new webhook"),
    ("no_service", Misconfigured, "the webhook was removed or disabled; make a new one"),
    ("no_service_id", Misconfigured, "the webhook's URL is not complete"),
    ("no_active_hooks", Misconfigured, "the webhook is disabled"),
    ("no_team", Misconfigured, "the webhook's workspace does not exist"),
    ("team_disabled", Misconfigured, "the workspace is disabled"),
    ("action_prohibited", Misconfigured, "the workspace's administrators do not allow this"),
    ("posting_to_general_channel_denied", Misconfigured, "only administrators post to #general"),
    (
        "team_not_found",
        Misconfigured,
        "with a token of an organization, write the channel's id, not its name",
    ),
    ("messages_tab_disabled", Misconfigured, "switch on the Messages tab of the app's home"),
    ("channel_not_found", Permanent, "there is no such channel, or the app can not see it"),
    ("channel_is_archived", Permanent, ""),
    ("is_archived", Permanent, "the channel is archived"),
    ("not_in_channel", Permanent, "invite the app to the channel, or give it the scope chat:write.public"),
    ("user_not_found", Permanent, ""),
    ("cannot_reply_to_message", Permanent, "this kind of message has no thread"),
    ("restricted_action_thread_locked", Permanent, ""),
    ("restricted_action", Permanent, "a preference of the workspace keeps the app from posting there"),
    ("restricted_action_read_only_channel", Permanent, ""),
    ("restricted_action_thread_only_channel", Permanent, ""),
    ("restricted_action_non_threadable_channel", Permanent, ""),
    ("msg_too_long", Permanent, "the text is too long"),
    ("msg_blocks_too_long", Permanent, "the blocks are too long"),
    ("no_text", Permanent, "the message is empty"),
    ("missing_text_or_fallback_or_attachments", Permanent, "the message is empty"),
    ("too_many_attachments", Permanent, ""),
    ("attachment_payload_limit_exceeded", Permanent, "the message is too long"),
    ("invalid_payload", Permanent, "the payload is not what Slack expects"),
    ("invalid_blocks", Permanent, "the blocks are not valid; try them in Slack's Block Kit Builder"),
    ("invalid_blocks_format", Permanent, "the blocks are not valid; try them in Slack's Block Kit Builder"),
    ("invalid_arguments", Permanent, ""),
];

/// The failure that an error code means, or nothing for one that is not in the table.
pub(crate) fn failure(code: &str, status: u16, retry_after_ms: Option<u64>) -> Option<Failure> {
    let (code, class, hint) = TABLE.iter().find(|(known, ..)| *known == code)?;
    let mut message = format!("Slack answered {code}");
    if !hint.is_empty() {
        message.push_str(": ");
        message.push_str(hint);
    }
    Some(class.failure(code, message, retry_after_ms).with_status(status))
}

/// The failure of a code that is not in the table: Slack adds codes, nearly all for requests that it will never take.
pub(crate) fn unknown(code: &str, status: u16) -> Failure {
    Failure::permanent("slack_error", format!("Slack answered {}", excerpt(code, 100))).with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_and_stand_once() {
        for (position, (code, ..)) in TABLE.iter().enumerate() {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
            assert!(TABLE[position + 1..].iter().all(|(other, ..)| other != code), "{code} stands twice");
        }
    }

    #[test]
    fn each_class_is_told() {
        let of = |code: &str, after| failure(code, 200, after).expect("a known code");
        assert!(
            matches!(of("ratelimited", Some(30_000)), Failure::Throttled(delay) if delay.after_ms == 30_000)
        );
        assert!(matches!(of("internal_error", None), Failure::Transient(_)));
        let missing = of("missing_scope", None);
        assert!(matches!(missing, Failure::Misconfigured(ref why) if why.message.contains("chat:write")));
        // `Retry-After` makes nothing of what never works.
        assert!(matches!(of("is_archived", Some(1)), Failure::Permanent(_)));
        assert!(failure("something_new", 200, None).is_none());
        assert_eq!(unknown("something_new", 200).problem().code, "slack_error");
    }
}
