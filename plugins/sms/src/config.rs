//! The configuration, and what its schema can not say of it.

use aftercommit_plugin::{
    FieldProblem,
    secrets::{Secret, holds_handle},
    template::{Text, Url},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::phone;

/// What is written beside `type = "sms"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [json!({
    "if": {"properties": {"provider": {"const": "vonage"}}, "required": ["provider"]},
    "then": {"properties": {"api_url": {"default": "https://api.nexmo.com"}}},
    "else": {"properties": {"api_url": {"default": "https://api.twilio.com"}}},
})]))]
pub(crate) struct Config {
    /// Where to send it: a number in E.164, `+` and the country code first.
    #[schemars(example = &"{{phone}}", example = &"+15558675310")]
    pub(crate) phone: Text,
    /// The text.
    #[schemars(example = &"Order {{entity_id}} shipped")]
    pub(crate) message_template: Text,
    /// Who sends it.
    #[serde(default)]
    pub(crate) provider: Provider,
    /// Where the provider's API is. By default `https://api.twilio.com` or `https://api.nexmo.com`.
    #[schemars(extend("x-egress" = true), example = &"https://api.dublin.ie1.twilio.com")]
    pub(crate) api_url: Option<String>,
    /// The sender: a number in E.164, or an alphanumeric name where the country allows it.
    #[schemars(example = &"+15557122661", example = &"AcmeShop")]
    pub(crate) from: Option<Text>,
    /// Twilio: the messaging service that chooses the sender, instead of `from`.
    #[schemars(example = &"MG00000000000000000000000000000000")]
    pub(crate) messaging_service_sid: Option<String>,
    /// Twilio: the account, `AC` and 32 digits.
    #[schemars(example = &"AC00000000000000000000000000000000")]
    pub(crate) account_sid: Option<Secret>,
    /// Twilio: name of the secret that holds the account, instead of `account_sid`.
    #[schemars(extend("x-secret-env" = "account_sid"), example = &"TWILIO_ACCOUNT_SID")]
    #[expect(dead_code, reason = "the host has put the secret into `account_sid`")]
    pub(crate) account_sid_env: Option<String>,
    /// Twilio: the account's token.
    #[schemars(example = &"${secret:TWILIO_AUTH_TOKEN}")]
    pub(crate) auth_token: Option<Secret>,
    /// Twilio: name of the secret that holds the token, instead of `auth_token`.
    #[schemars(extend("x-secret-env" = "auth_token"), example = &"TWILIO_AUTH_TOKEN")]
    #[expect(dead_code, reason = "the host has put the secret into `auth_token`")]
    pub(crate) auth_token_env: Option<String>,
    /// Vonage: the account's API key. Twilio: an API key (`SK..`), used with `api_secret` instead of `auth_token`.
    #[schemars(example = &"SK00000000000000000000000000000000")]
    pub(crate) api_key: Option<Secret>,
    /// Name of the secret that holds the API key, instead of `api_key`.
    #[schemars(extend("x-secret-env" = "api_key"), example = &"VONAGE_API_KEY")]
    #[expect(dead_code, reason = "the host has put the secret into `api_key`")]
    pub(crate) api_key_env: Option<String>,
    /// The secret of `api_key`.
    #[schemars(example = &"${secret:VONAGE_API_SECRET}")]
    pub(crate) api_secret: Option<Secret>,
    /// Name of the secret that holds it, instead of `api_secret`.
    #[schemars(extend("x-secret-env" = "api_secret"), example = &"VONAGE_API_SECRET")]
    #[expect(dead_code, reason = "the host has put the secret into `api_secret`")]
    pub(crate) api_secret_env: Option<String>,
    /// A URL of yours that the provider tells what becomes of the message.
    #[schemars(example = &"https://example.com/sms/{{event_id}}")]
    pub(crate) status_callback: Option<Url>,
}

/// A provider of text messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Provider {
    /// Twilio's Programmable Messaging.
    #[default]
    Twilio,
    /// Vonage's Messages API.
    Vonage,
}

impl Provider {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Vonage => "vonage",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Twilio => "Twilio",
            Self::Vonage => "Vonage",
        }
    }
}

impl Config {
    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = match self.provider {
            Provider::Twilio => self.problems_for_twilio(),
            Provider::Vonage => self.problems_for_vonage(),
        };
        if !self.phone.contains("{{")
            && !holds_handle(&self.phone)
            && let Err(why) = phone::check(&self.phone)
        {
            problems.push(FieldProblem::new("/phone", why));
        }
        problems
    }

    fn problems_for_twilio(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        if self.account_sid.is_none() {
            problems.push(FieldProblem::new(
                "/account_sid",
                "Twilio needs the account: write account_sid = \"AC..\", or account_sid_env = \"TWILIO_ACCOUNT_SID\" and set that",
            ));
        }
        let credentials = [&self.auth_token, &self.api_key, &self.api_secret].map(Option::is_some);
        let message = match credentials {
            [true, false, false] | [false, true, true] => None,
            [false, false, false] => Some((
                "/auth_token",
                "Twilio needs a token: write auth_token_env = \"TWILIO_AUTH_TOKEN\" and set that, or use an API key with \
                 api_key and api_secret_env",
            )),
            [true, ..] => {
                Some(("/api_key", "write either `auth_token`, or `api_key` and `api_secret`, not both"))
            }
            [false, true, false] => {
                Some(("/api_secret", "an API key needs its secret: write api_secret_env"))
            }
            [false, false, true] => Some(("/api_key", "an API key's secret needs its key: write api_key")),
        };
        problems.extend(message.map(|(pointer, message)| FieldProblem::new(pointer, message)));
        match (&self.from, &self.messaging_service_sid) {
            (None, None) => problems.push(FieldProblem::new(
                "/from",
                "Twilio needs a sender: write from = \"+1..\", or messaging_service_sid = \"MG..\"",
            )),
            (Some(_), Some(_)) => problems.push(FieldProblem::new(
                "/messaging_service_sid",
                "write either `from` or `messaging_service_sid`, not both",
            )),
            _ => {}
        }
        problems
    }

    fn problems_for_vonage(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        for (pointer, is_missing, name) in [
            ("/api_key", self.api_key.is_none(), "VONAGE_API_KEY"),
            ("/api_secret", self.api_secret.is_none(), "VONAGE_API_SECRET"),
        ] {
            if is_missing {
                let field = &pointer[1..];
                problems.push(FieldProblem::new(
                    pointer,
                    format!("Vonage needs `{field}`: write {field}_env = \"{name}\" and set that"),
                ));
            }
        }
        if self.from.is_none() {
            problems
                .push(FieldProblem::new("/from", "Vonage needs a sender: write from, a number or a name"));
        }
        for (pointer, is_written) in [
            ("/account_sid", self.account_sid.is_some()),
            ("/auth_token", self.auth_token.is_some()),
            ("/messaging_service_sid", self.messaging_service_sid.is_some()),
        ] {
            if is_written {
                problems.push(FieldProblem::new(pointer, "this is Twilio's, and the provider is vonage"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(more: &serde_json::Value) -> Vec<String> {
        let mut written = json!({"phone": "+15558675310", "message_template": "m"});
        written.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let config: Config = serde_json::from_value(written).expect("a configuration");
        config.problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn twilio_needs_account_token_and_sender() {
        assert_eq!(pointers(&json!({})), ["/account_sid", "/auth_token", "/from"]);
        let account = json!({"account_sid": "AC", "auth_token": "t", "from": "+1"});
        assert_eq!(pointers(&account), [""; 0]);
        let key =
            json!({"account_sid": "AC", "api_key": "SK", "api_secret": "s", "messaging_service_sid": "MG"});
        assert_eq!(pointers(&key), [""; 0]);
        let half = json!({"account_sid": "AC", "api_key": "SK", "from": "f", "messaging_service_sid": "MG"});
        assert_eq!(pointers(&half), ["/api_secret", "/messaging_service_sid"]);
        let both =
            json!({"account_sid": "AC", "auth_token": "t", "api_key": "SK", "api_secret": "s", "from": "f"});
        assert_eq!(pointers(&both), ["/api_key"]);
    }

    #[test]
    fn vonage_needs_key_secret_and_sender() {
        assert_eq!(pointers(&json!({"provider": "vonage"})), ["/api_key", "/api_secret", "/from"]);
        let right = json!({"provider": "vonage", "api_key": "k", "api_secret": "s", "from": "Acme"});
        assert_eq!(pointers(&right), [""; 0]);
        let mixed =
            json!({"provider": "vonage", "api_key": "k", "api_secret": "s", "from": "A", "auth_token": "t"});
        assert_eq!(pointers(&mixed), ["/auth_token"]);
    }

    #[test]
    fn a_number_without_template_is_checked_at_once() {
        let twilio =
            |phone: &str| json!({"phone": phone, "account_sid": "AC", "auth_token": "t", "from": "+1"});
        assert_eq!(pointers(&twilio("0171 1234567")), ["/phone"]);
        assert_eq!(pointers(&twilio("{{phone}}")), [""; 0]);
    }

    #[test]
    fn the_schema_carries_the_marks() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
        let fields = schema["properties"].as_object().expect("fields");
        assert_eq!(
            (&fields["phone"]["x-template"], &fields["api_url"]["x-egress"]),
            (&"text".into(), &true.into())
        );
        assert_eq!(fields["auth_token_env"]["x-secret-env"], "auth_token");
        assert_eq!(schema["required"], json!(["phone", "message_template"]));
        for name in fields.keys() {
            assert!(include_str!("../README.md").contains(&format!("`{name}`")), "the README has no {name}");
        }
        assert!(fields.values().all(|field| field["description"].is_string()), "{schema}");
    }
}
