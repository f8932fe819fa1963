//! The configuration.

use aftercommit_plugin::{
    secrets::Secret,
    template::{Text, Url},
    too_long::TooLong,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

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
    #[schemars(extend("x-name" = true), example = &"{{phone}}", example = &"+15558675310")]
    pub(crate) phone: Text,
    /// The text.
    #[schemars(example = &"Order {{entity_id}} shipped")]
    pub(crate) message_template: Text,
    /// What becomes of a text that is longer than the provider takes (1600 characters of Twilio's, 1000 of Vonage's): `fail`,
    /// or `cut`, which ends it with `...`.
    #[serde(default)]
    #[schemars(extend("default" = "fail"))]
    pub(crate) too_long: TooLong,
    /// Who sends it.
    #[serde(default)]
    #[schemars(extend("default" = "twilio"))]
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
    #[schemars(extend("x-secret-form" = "any"), example = &"${secret:TWILIO_AUTH_TOKEN}")]
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
    #[schemars(extend("x-secret-form" = "any"), example = &"${secret:VONAGE_API_SECRET}")]
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

    /// The most characters of a text: Twilio's error 21617; Vonage's "Messages API", `text` of an SMS.
    pub(crate) const fn max_chars(self) -> usize {
        match self {
            Self::Twilio => 1600,
            Self::Vonage => 1000,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Twilio => "Twilio",
            Self::Vonage => "Vonage",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_carries_the_marks() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
        let fields = schema["properties"].as_object().expect("fields");
        assert_eq!(
            (&fields["phone"]["x-template"], &fields["api_url"]["x-egress"]),
            (&"text".into(), &true.into())
        );
        assert_eq!(fields["phone"]["x-name"], true);
        assert_eq!(fields["auth_token_env"]["x-secret-env"], "auth_token");
        assert_eq!(schema["required"], json!(["phone", "message_template"]));
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
    }
}
