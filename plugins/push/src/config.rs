//! The configuration, and what its schema can not say of it.

use std::collections::BTreeMap;

use aftercommit_plugin::{FieldProblem, secrets::Secret, template::Text};
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
    pub(crate) device_token: Option<Text>,
    /// FCM: the topic whose subscribers get it, instead of `device_token`.
    #[schemars(example = &"orders-{{region}}")]
    pub(crate) topic: Option<Text>,
    /// The title. Without title and body the notification is not shown: the app gets `data`.
    #[schemars(example = &"Order Update")]
    pub(crate) title_template: Option<Text>,
    /// The text.
    #[schemars(example = &"Order {{entity_id}} status: {{status}}")]
    pub(crate) body_template: Option<Text>,
    /// What the app gets beside: names and values, which are templates.
    #[serde(default)]
    pub(crate) data: BTreeMap<String, Text>,
    /// Who sends it.
    #[serde(default)]
    pub(crate) provider: Provider,
    /// Where the provider's API is. By default `https://fcm.googleapis.com` or `https://api.push.apple.com`.
    #[schemars(extend("x-egress" = true), example = &"https://api.sandbox.push.apple.com")]
    pub(crate) api_url: Option<String>,
    /// FCM: the Firebase project.
    #[schemars(example = &"my-project-1a2b3")]
    pub(crate) project_id: Option<String>,
    /// FCM: a service account's key file, its JSON.
    #[schemars(example = &"${secret:FCM_SERVICE_ACCOUNT}")]
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
    #[schemars(example = &"${secret:APNS_KEY}")]
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
    pub(crate) collapse_key: Option<Text>,
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

    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = match self.provider {
            Provider::Fcm => self.problems_for_fcm(),
            Provider::Apns => self.problems_for_apns(),
        };
        if !self.is_shown() && self.data.is_empty() {
            problems.push(FieldProblem::new(
                "/title_template",
                "write `title_template`, `body_template` or `data`",
            ));
        }
        problems
    }

    fn problems_for_fcm(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        match (&self.device_token, &self.topic) {
            (None, None) => {
                problems.push(FieldProblem::new("/device_token", "write `device_token` or `topic`"));
            }
            (Some(_), Some(_)) => {
                problems
                    .push(FieldProblem::new("/topic", "write either `device_token` or `topic`, not both"));
            }
            _ => {}
        }
        if !self.project_id.as_ref().is_some_and(|id| !id.is_empty() && !id.contains(['/', '?', '#', '%'])) {
            problems.push(FieldProblem::new(
                "/project_id",
                "FCM needs the project: write project_id, as the key file has it under `project_id`",
            ));
        }
        if self.service_account.is_none() {
            problems.push(FieldProblem::new(
                "/service_account",
                "FCM needs a service account: write service_account_env = \"FCM_SERVICE_ACCOUNT\" and set that to the JSON of \
                 its key file",
            ));
        }
        // "Data message": words that FCM keeps for itself.
        for name in self.data.keys() {
            if matches!(name.as_str(), "from" | "message_type")
                || name.starts_with("google.")
                || name.starts_with("gcm.")
            {
                problems.push(FieldProblem::new(
                    format!("/data/{}", pointer_part(name)),
                    "FCM keeps this name for itself",
                ));
            }
        }
        problems.extend(foreign(
            "apns",
            [
                ("/key", self.key.is_some()),
                ("/key_id", self.key_id.is_some()),
                ("/team_id", self.team_id.is_some()),
                ("/bundle_id", self.bundle_id.is_some()),
            ],
        ));
        problems
    }

    fn problems_for_apns(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        for (pointer, is_missing, message) in [
            (
                "/device_token",
                self.device_token.is_none(),
                "APNs needs the device's token: write `device_token`",
            ),
            (
                "/key",
                self.key.is_none(),
                "APNs needs a key: write key_env = \"APNS_KEY\" and set that to the text of the .p8 file",
            ),
            ("/key_id", self.key_id.is_none(), "APNs needs the key's id: write `key_id`"),
            ("/team_id", self.team_id.is_none(), "APNs needs the team's id: write `team_id`"),
            ("/bundle_id", self.bundle_id.is_none(), "APNs needs the app: write `bundle_id`"),
        ] {
            if is_missing {
                problems.push(FieldProblem::new(pointer, message));
            }
        }
        if self.data.contains_key("aps") {
            problems.push(FieldProblem::new("/data/aps", "the action writes `aps` itself"));
        }
        problems.extend(foreign(
            "fcm",
            [
                ("/topic", self.topic.is_some()),
                ("/project_id", self.project_id.is_some()),
                ("/service_account", self.service_account.is_some()),
            ],
        ));
        problems
    }
}

/// Fields of the other provider that are written.
fn foreign<const N: usize>(other: &str, fields: [(&str, bool); N]) -> Vec<FieldProblem> {
    let written = fields.into_iter().filter(|(_, is_written)| *is_written);
    written
        .map(|(pointer, _)| FieldProblem::new(pointer, format!("this is for provider = \"{other}\"")))
        .collect()
}

/// A name inside a JSON pointer (RFC 6901, 3).
fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(written: &Value) -> Vec<String> {
        let config: Config = serde_json::from_value(written.clone()).expect("a configuration");
        config.problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn fcm_needs_a_receiver_a_project_and_an_account() {
        assert_eq!(
            pointers(&json!({})),
            ["/device_token", "/project_id", "/service_account", "/title_template"]
        );
        let right = json!({"topic": "t", "project_id": "p", "service_account": "s", "data": {"a": "b"}});
        assert_eq!(pointers(&right), [""; 0]);
        let wrong = json!({
            "topic": "t", "device_token": "d", "project_id": "p/q", "service_account": "s", "data": {"google.x": "b"}, "key_id": "k",
        });
        assert_eq!(pointers(&wrong), ["/topic", "/project_id", "/data/google.x", "/key_id"]);
    }

    #[test]
    fn apns_needs_a_device_a_key_and_an_app() {
        let none = json!({"provider": "apns", "topic": "t", "body_template": "b"});
        assert_eq!(pointers(&none), ["/device_token", "/key", "/key_id", "/team_id", "/bundle_id", "/topic"]);
        let right = json!({
            "provider": "apns", "device_token": "d", "key": "k", "key_id": "i", "team_id": "t", "bundle_id": "b",
            "title_template": "t",
        });
        assert_eq!(pointers(&right), [""; 0]);
    }

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
        for name in fields.keys() {
            assert!(include_str!("../README.md").contains(&format!("`{name}`")), "the README has no {name}");
        }
        assert!(fields.values().all(|field| field["description"].is_string()), "{schema}");
    }
}
