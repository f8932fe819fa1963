//! What the schema can not say of a configuration.

use aftercommit_plugin::{FieldProblem, http::base_url_problem, template::literal};

use crate::{
    apns::MAX_COLLAPSE_BYTES,
    config::{Config, Provider},
};

/// The longest time for which FCM keeps a message: four weeks (`ErrorCode`, "Invalid TTL").
const MAX_FCM_TTL_SECS: u32 = 2_419_200;
/// The ids of keys and teams ("Establishing a token-based connection to APNs").
const APPLE_ID_LETTERS: usize = 10;

impl Config {
    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = match self.provider {
            Provider::Fcm => self.problems_for_fcm(),
            Provider::Apns => self.problems_for_apns(),
        };
        problems.extend(base_url_problem("/api_url", self.api_url.as_deref()));
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
        if self.topic.as_deref().and_then(literal).is_some_and(|topic| !is_topic(topic)) {
            problems.push(FieldProblem::new(
                "/topic",
                "a topic has letters, digits and - _ . ~ % only, and no /topics/ before it",
            ));
        }
        if self.ttl_secs.is_some_and(|secs| secs > MAX_FCM_TTL_SECS) {
            let message = format!("FCM keeps a message for at most {MAX_FCM_TTL_SECS} seconds (four weeks)");
            problems.push(FieldProblem::new("/ttl_secs", message));
        }
        // Words that FCM keeps for itself (`ErrorCode`, "Invalid data key").
        for name in self.data.keys() {
            if matches!(name.as_str(), "from" | "message_type")
                || name.starts_with("google")
                || name.starts_with("gcm")
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
        for (pointer, id) in [("/key_id", &self.key_id), ("/team_id", &self.team_id)] {
            let is_one = |id: &String| {
                id.len() == APPLE_ID_LETTERS && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
            };
            if id.as_ref().is_some_and(|id| !is_one(id)) {
                let message = format!("this has {APPLE_ID_LETTERS} letters and digits, such as ABC123DEFG");
                problems.push(FieldProblem::new(pointer, message));
            }
        }
        if self.collapse_key.as_deref().and_then(literal).is_some_and(|key| key.len() > MAX_COLLAPSE_BYTES) {
            let message = format!("APNs takes at most {MAX_COLLAPSE_BYTES} bytes (`apns-collapse-id`)");
            problems.push(FieldProblem::new("/collapse_key", message));
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

/// `projects.messages`, `topic`.
fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte))
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
    use serde_json::{Value, json};

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
        let bounds = json!({
            "topic": "/topics/t", "project_id": "p", "service_account": "s", "data": {"a": "b"}, "ttl_secs": 2_419_201,
        });
        assert_eq!(pointers(&bounds), ["/topic", "/ttl_secs"]);
    }

    #[test]
    fn apns_needs_a_device_a_key_and_an_app() {
        let none = json!({"provider": "apns", "topic": "t", "body_template": "b"});
        assert_eq!(pointers(&none), ["/device_token", "/key", "/key_id", "/team_id", "/bundle_id", "/topic"]);
        let right = json!({
            "provider": "apns", "device_token": "d", "key": "k", "key_id": "ABC123DEFG", "team_id": "DEF123GHIJ",
            "bundle_id": "b", "title_template": "t", "collapse_key": "x".repeat(64), "ttl_secs": 2_419_201,
        });
        assert_eq!(pointers(&right), [""; 0]);
        let mut wrong = right;
        wrong["key_id"] = json!("ABC");
        wrong["team_id"] = json!("My Team Ltd");
        wrong["collapse_key"] = json!("x".repeat(65));
        assert_eq!(pointers(&wrong), ["/key_id", "/team_id", "/collapse_key"]);
    }
}
