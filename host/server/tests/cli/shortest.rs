//! The seven actions in their shortest form: what an account or a server is stands in the host's configuration.

use crate::place::Place;

const HOST: &str = r#"
[smtp]
host = "mail.example.com"
from = "shop@example.com"
[redis.default]
url = "redis://localhost:6379/0"
[plugins.sms.config]
account_sid_env = "TWILIO_ACCOUNT_SID"
auth_token_env = "TWILIO_AUTH_TOKEN"
from = "+15005550006"
[plugins.push.config]
provider = "apns"
team_id = "ABCDE12345"
key_id = "KEY1234567"
bundle_id = "com.example.shop"
key_env = "APNS_KEY"
[plugins.search.config]
url = "https://search.example.com"
api_key_env = "SEARCH_API_KEY"
"#;

const OBSERVERS: &str = r##"[{"name": "order", "entity_type": "Order", "actions": [
    {"type": "webhook", "url": "https://example.com/webhook", "headers": {"Authorization": "Bearer token"},
     "body_template": "{\"status\": \"{{ status }}\"}"},
    {"type": "slack", "webhook_url": "https://hooks.slack.com/services/...", "channel": "#notifications",
     "message_template": "Order {{entity_id}} created"},
    {"type": "email", "to": "admin@example.com", "subject": "New Order",
     "body_template": "Order {{entity_id}} has been placed"},
    {"type": "sms", "phone": "+1234567890", "message_template": "Order {{entity_id}} shipped"},
    {"type": "push", "device_token": "device123", "title_template": "Order Update",
     "body_template": "Order {{entity_id}} status: {{status}}"},
    {"type": "search", "index": "orders", "id_template": "order_{{entity_id}}"},
    {"type": "cache", "key_pattern": "order:{{entity_id}}", "action": "invalidate"}
]}]"##;

#[test]
fn every_action_loads_as_it_stands() {
    let place = Place::new();
    place.write("aftercommit.toml", HOST).write("observers.json", OBSERVERS);
    let mut command = place.command(&["observers", "validate", "observers.json"]);
    for secret in ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "APNS_KEY", "SEARCH_API_KEY"] {
        command.env(secret, "AC00000000000000000000000000000000");
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*told), (Some(0), ""));
}

#[test]
fn what_the_host_does_not_say_is_asked_for() {
    let place = Place::new();
    place.write("observers.json", OBSERVERS);
    insta::assert_snapshot!(place.run(&["observers", "validate", "observers.json"]));
}
