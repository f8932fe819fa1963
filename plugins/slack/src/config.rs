//! The configuration, and what its schema can not say of it.

use aftercommit_plugin::{
    FieldProblem,
    http::base_url_problem,
    secrets::Secret,
    template::{Name, Slack, SlackJson, Text, Url, literal},
    too_long::TooLong,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::message;

/// What is written beside `type = "slack"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [json!({
    "if": {"required": ["token"]},
    "then": {"properties": {"api_url": {"default": "https://slack.com/api"}}},
})]))]
pub(crate) struct Config {
    /// URL of an incoming webhook. Either this (or `webhook_url_env`), or `token`.
    #[schemars(
        extend("x-egress" = true),
        example = &"https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    )]
    pub(crate) webhook_url: Option<Url>,
    /// Name of the secret that holds the URL, instead of `webhook_url`.
    #[schemars(extend("x-secret-env" = "webhook_url"), example = &"SLACK_WEBHOOK_URL")]
    #[expect(dead_code, reason = "the host has put the secret into `webhook_url`")]
    pub(crate) webhook_url_env: Option<String>,
    /// A bot token (`xoxb-`) with the scope `chat:write`: the message is posted with `chat.postMessage`.
    #[schemars(extend("x-secret-form" = "any"), example = &"${secret:SLACK_BOT_TOKEN}")]
    pub(crate) token: Option<Secret>,
    /// Name of the secret that holds the token, instead of `token`.
    #[schemars(extend("x-secret-env" = "token"), example = &"SLACK_BOT_TOKEN")]
    #[expect(dead_code, reason = "the host has put the secret into `token`")]
    pub(crate) token_env: Option<String>,
    /// Where the Web API is, with `token`.
    #[schemars(extend("x-egress" = true), example = &"https://slack.com/api")]
    pub(crate) api_url: Option<String>,
    /// A channel's id or name; needed with `token`. Webhooks of Slack apps post to their own channel whatever it says.
    #[schemars(example = &"#notifications", example = &"C0123456789")]
    pub(crate) channel: Option<Name>,
    /// The message, as Slack's mrkdwn. With `blocks_template` it is what notifications show.
    #[schemars(example = &"Order {{entity_id}} created")]
    pub(crate) message_template: Option<Slack>,
    /// Block Kit: a JSON array of blocks, or an object with `blocks`.
    #[schemars(
        example = &r#"[{"type":"section","text":{"type":"mrkdwn","text":"*Order {{entity_id}}* {{status}}"}}]"#
    )]
    pub(crate) blocks_template: Option<SlackJson>,
    /// What becomes of a text that is longer than Slack takes (40000 characters of a message, 3000 of a section): `fail`, or
    /// `cut`, which ends it with `…`.
    #[serde(default)]
    #[schemars(extend("default" = "fail"))]
    pub(crate) too_long: TooLong,
    /// `ts` of the message to answer to in its thread.
    #[schemars(example = &"{{slack_ts}}")]
    pub(crate) thread_ts: Option<Text>,
    /// Whether an answer in a thread is shown in the channel too.
    pub(crate) reply_broadcast: Option<bool>,
    /// Whether links to text are unfurled. Slack decides when left out.
    pub(crate) unfurl_links: Option<bool>,
    /// Whether links to media are unfurled. Slack decides when left out.
    pub(crate) unfurl_media: Option<bool>,
}

pub(crate) const NO_DESTINATION: &str = "write `webhook_url`, or `webhook_url_env` with a secret's name, or `token` \
                                         (or `token_env`) and `channel`";

impl Config {
    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        match (&self.webhook_url, &self.token) {
            (None, None) => problems.push(FieldProblem::new("", NO_DESTINATION)),
            (Some(_), Some(_)) => problems.push(FieldProblem::new(
                "/token",
                "write either an incoming webhook's URL or a token, not both",
            )),
            (None, Some(_)) if self.channel.is_none() => problems.push(FieldProblem::new(
                "/channel",
                "with a token, write the channel to post to, such as \"#notifications\" or its id",
            )),
            _ => {}
        }
        if self.message_template.is_none() && self.blocks_template.is_none() {
            problems.push(FieldProblem::new(
                "/message_template",
                "write `message_template`, `blocks_template` or both",
            ));
        }
        if self.reply_broadcast == Some(true) && self.thread_ts.is_none() {
            problems.push(FieldProblem::new(
                "/reply_broadcast",
                "only an answer in a thread (`thread_ts`) is broadcast",
            ));
        }
        problems.extend(base_url_problem("/api_url", self.api_url.as_deref()));
        // What has nothing to render is JSON already.
        if let Some(written) = self.blocks_template.as_deref().and_then(literal)
            && let Err(why) = message::blocks(written)
        {
            problems.push(FieldProblem::new("/blocks_template", why));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("a configuration");
        config.problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn a_destination_and_a_message_are_needed() {
        assert_eq!(pointers(r#"{"webhook_url":"https://h","channel":"c","message_template":"m"}"#), [""; 0]);
        assert_eq!(pointers(r#"{"token":"t","channel":"c","blocks_template":"[]"}"#), [""; 0]);
        assert_eq!(pointers("{}"), ["", "/message_template"]);
        assert_eq!(pointers(r#"{"token":"t","message_template":"m"}"#), ["/channel"]);
        assert_eq!(pointers(r#"{"token":"t","webhook_url":"u","message_template":"m"}"#), ["/token"]);
        assert_eq!(
            pointers(r#"{"webhook_url":"u","message_template":"m","reply_broadcast":true}"#),
            ["/reply_broadcast"]
        );
    }

    #[test]
    fn blocks_without_templates_are_read_at_once() {
        let of = |blocks: &str| {
            pointers(&serde_json::json!({"webhook_url": "u", "blocks_template": blocks}).to_string())
        };
        assert_eq!(of("[{]"), ["/blocks_template"]);
        assert_eq!(of(r#"{"block":[]}"#), ["/blocks_template"]);
        assert_eq!(of("[{{blocks}}]"), [""; 0], "only known when it is rendered");
        assert_eq!(of(&format!("[{}]", ["{}"; 50].join(","))), [""; 0]);
        assert_eq!(of(&format!("[{}]", ["{}"; 51].join(","))), ["/blocks_template"]);
    }

    #[test]
    fn the_schema_carries_the_marks() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
        let fields = &schema["properties"];
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(fields["channel"]["x-name"], true);
        assert_eq!(fields["message_template"]["x-template"], "slack");
        assert_eq!(fields["blocks_template"]["x-template"], "slack-json");
        assert_eq!(
            (&fields["webhook_url"]["x-egress"], &fields["api_url"]["x-egress"]),
            (&true.into(), &true.into())
        );
        assert_eq!(schema["allOf"][0]["then"]["properties"]["api_url"]["default"], "https://slack.com/api");
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
    }
}
