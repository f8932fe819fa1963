//! What the schema can not say of a configuration.

use aftercommit_plugin::FieldProblem;

use crate::config::{Config, Provider};

impl Config {
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
}
