//! `examples/shortest`: the seven actions in their shortest form, and what they leave to the host's configuration.

use crate::place::Place;

const HOST: &str = include_str!("../../../../examples/shortest/aftercommit.toml");
/// Used for nothing but this test.
const APNS_KEY: &str = include_str!("p256_key.pem");
const RSA_KEY: &str = include_str!("../../../../tests/integration/actions/service_account.pem");
const ACTIONS: &str = include_str!("../../../../docs/actions.md");
const OBSERVERS: &str = include_str!("../../../../examples/shortest/observers.json");

#[test]
fn every_action_loads_as_it_stands() {
    let place = Place::new();
    place.write("aftercommit.toml", HOST).write("observers.json", OBSERVERS);
    let mut command = place.command(&["observers", "validate", "observers.json"]);
    for secret in ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "SEARCH_API_KEY"] {
        command.env(secret, "AC00000000000000000000000000000000");
    }
    command.env("APNS_KEY", APNS_KEY);
    let run = place.finish(command, &["observers", "validate", "observers.json"], "");
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
}

/// Each section of docs/actions.md is enough to begin with: its blocks are a host's configuration and an action.
#[test]
fn what_the_page_of_actions_shows_loads_as_it_stands() {
    let (_, sections) = ACTIONS.split_once("\n## `").expect("sections");
    let key_file = serde_json::json!({
        "client_email": "a@example.com", "private_key": RSA_KEY, "token_uri": "https://oauth2.googleapis.com/token",
    });
    let mut names = Vec::new();
    for section in sections.split("\n## `") {
        let (name, text) = section.split_once('`').expect("a name");
        let (mut host, mut action) = (String::new(), String::new());
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            if block.starts_with("[[observers.actions]]") { action += block } else { host += block }
        }
        let place = Place::new();
        let observer = format!("[[observers]]\nname = \"{name}\"\nentity_type = \"Order\"\n{action}");
        place.write("aftercommit.toml", host).write("observers.toml", observer);
        let mut command = place.command(&["observers", "validate", "observers.toml"]);
        for secret in ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "SEARCH_API_KEY", "SMTP_PASSWORD"] {
            command.env(secret, "AC00000000000000000000000000000000");
        }
        command.env("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        command.env("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/X");
        command.env("FCM_SERVICE_ACCOUNT", key_file.to_string());
        let run = place.finish(command, &["observers", "validate", "observers.toml"], "");
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{name}");
        names.push(name);
    }
    assert_eq!(names, ["webhook", "slack", "email", "sms", "push", "search", "cache", "log"]);
}

#[test]
fn what_the_host_does_not_say_is_asked_for() {
    let place = Place::new();
    place.write("observers.json", OBSERVERS);
    insta::assert_snapshot!(place.run(&["observers", "validate", "observers.json"]));
}
