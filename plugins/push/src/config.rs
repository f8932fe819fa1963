//! The configuration.

use std::collections::BTreeMap;

use aftercommit_plugin::{
    secrets::Secret,
    template::{Name, Text},
    too_long::TooLong,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is written beside `type = "push"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = default_destinations()))]
pub(crate) struct Config {
    /// The device's token: FCM's registration token, or APNs' device token. Either this or `topic`.
    #[schemars(example = &"{{device_token}}")]
    pub(crate) device_token: Option<Name>,
    /// FCM: the topic whose subscribers get it, instead of `device_token`.
    #[schemars(example = &"orders-{{region}}")]
    pub(crate) topic: Option<Name>,
    /// The title. Without title and body the notification is not shown: the app gets `data`.
    #[schemars(example = &"Order Update")]
    pub(crate) title_template: Option<Text>,
    /// The text.
    #[schemars(example = &"Order {{entity_id}} status: {{status}}")]
    pub(crate) body_template: Option<Text>,
    /// What becomes of a notification that is longer than 4096 bytes: `fail`, or `cut`, which shortens the text.
    #[serde(default)]
    #[schemars(extend("default" = "fail"))]
    pub(crate) too_long: TooLong,
    /// What the app gets beside: names and values, which are templates.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"order_id": "{{entity_id}}"}))]
    pub(crate) data: BTreeMap<String, Text>,
    /// Who sends it.
    #[serde(default)]
    #[schemars(extend("default" = "fcm"))]
    pub(crate) provider: Provider,
    /// Where the provider's API is. By default `https://fcm.googleapis.com` or `https://api.push.apple.com`.
    #[schemars(extend("x-egress" = true), example = &"https://api.sandbox.push.apple.com")]
    pub(crate) api_url: Option<String>,
    /// FCM: the Firebase project.
    #[schemars(example = &"my-project-1a2b3")]
    pub(crate) project_id: Option<String>,
    /// FCM: a service account's key file, its JSON.
    #[schemars(extend("x-secret-form" = "service-account"), example = &"${secret:FCM_SERVICE_ACCOUNT}")]
    pub(crate) service_account: Option<Secret>,
    /// FCM: name of the secret that holds the key file, instead of `service_account`.
    #[schemars(extend("x-secret-env" = "service_account"), example = &"FCM_SERVICE_ACCOUNT")]
    #[expect(dead_code, reason = "the host has put the secret into `service_account`")]
    pub(crate) service_account_env: Option<String>,
    /// FCM: where access tokens are had; of the same origin as the key file's `token_uri`.
    #[schemars(extend("x-egress" = true), example = &"https://oauth2.googleapis.com/token")]
    #[expect(dead_code, reason = "the host asks the key file's own `token_uri`; this grants its origin")]
    pub(crate) token_url: Option<String>,
    /// APNs: the key (`.p8`), a PEM.
    #[schemars(extend("x-secret-form" = "p256-key"), example = &"${secret:APNS_KEY}")]
    pub(crate) key: Option<Secret>,
    /// APNs: name of the secret that holds the key, instead of `key`.
    #[schemars(extend("x-secret-env" = "key"), example = &"APNS_KEY")]
    #[expect(dead_code, reason = "the host has put the secret into `key`")]
    pub(crate) key_env: Option<String>,
    /// APNs: the key's id, 10 letters and digits.
    #[schemars(example = &"ABC123DEFG")]
    pub(crate) key_id: Option<String>,
    /// APNs: the team's id, 10 letters and digits.
    #[schemars(example = &"DEF123GHIJ")]
    pub(crate) team_id: Option<String>,
    /// APNs: the app's bundle id (`apns-topic`).
    #[schemars(example = &"com.example.shop")]
    pub(crate) bundle_id: Option<String>,
    /// A later notification with the same key takes the place of an earlier one.
    #[schemars(example = &"order-{{entity_id}}")]
    pub(crate) collapse_key: Option<Name>,
    /// How urgent it is. The provider decides when left out.
    pub(crate) priority: Option<Priority>,
    /// How long it is kept for a device that can not be reached, in seconds. The provider decides when left out.
    #[schemars(example = 3600)]
    pub(crate) ttl_secs: Option<u32>,
    /// The sound: `default`, or one of the app's own.
    #[schemars(example = &"default")]
    pub(crate) sound: Option<String>,
}

/// The defaults of the fields that name destinations.
fn default_destinations() -> Value {
    json!([{
        "if": {"properties": {"provider": {"const": "apns"}}, "required": ["provider"]},
        "then": {"properties": {"api_url": {"default": "https://api.push.apple.com"}}},
        "else": {"properties": {
            "api_url": {"default": "https://fcm.googleapis.com"},
            "token_url": {"default": "https://oauth2.googleapis.com/token"},
        }},
    }])
}

/// A provider of push notifications.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Provider {
    /// Firebase Cloud Messaging, HTTP v1.
    #[default]
    Fcm,
    /// Apple Push Notification service.
    Apns,
}

/// How urgent a notification is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Priority {
    /// At once.
    High,
    /// When it suits the device.
    Normal,
}

impl Config {
    /// Whether there is something to show.
    pub(crate) fn is_shown(&self) -> bool {
        self.title_template.is_some() || self.body_template.is_some()
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
            (&fields["api_url"]["x-egress"], &fields["token_url"]["x-egress"]),
            (&true.into(), &true.into())
        );
        assert_eq!(fields["data"]["additionalProperties"]["x-template"], "text");
        assert_eq!(
            schema["allOf"][0]["then"]["properties"]["api_url"]["default"],
            "https://api.push.apple.com"
        );
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
    }
}
