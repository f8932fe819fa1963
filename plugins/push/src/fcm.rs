//! FCM HTTP v1: `POST /v1/projects/{project}/messages:send`, with an access token that the host obtains.
//!
//! Source: Firebase's "REST Resource: projects.messages".

use aftercommit_plugin::{
    Failure, JsonObject, Outcome, clock,
    http::Request,
    secrets::{ServiceAccount, TokenRequest, access_token},
};
use serde::Deserialize;

use crate::{
    config::{Config, Priority},
    fcm_errors, needed,
    payload::fitting_body,
};

/// What a service account needs to send.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

#[derive(Deserialize)]
struct Sent {
    name: String,
}

pub(crate) fn send(config: &Config) -> Result<Outcome, Failure> {
    let api_url = needed(config.api_url.as_ref(), "api_url")?.trim_end_matches('/');
    let project_id = needed(config.project_id.as_ref(), "project_id")?;
    let body = fitting_body(config, "FCM", |body| payload_bytes(config, body))?;
    let key_file = needed(config.service_account.as_ref(), "service_account")?.handle().to_owned();
    let account = ServiceAccount { key_file, scope: SCOPE.to_owned(), subject: None };
    let token = access_token(&TokenRequest::ServiceAccount(account))?;
    let response = Request::post(format!("{api_url}/v1/projects/{project_id}/messages:send"))
        .bearer(token.handle())
        .json(message(config, body.as_deref(), clock::now_secs()))
        .send()?;
    if !(200..300).contains(&response.status) {
        return Err(fcm_errors::failure(&response));
    }
    let name = response.json_unless_truncated::<Sent>()?.map_or_else(String::new, |sent| sent.name);
    let mut details = JsonObject::new();
    details.text("provider", "fcm").text("message_id", &name);
    Ok(Outcome::new(format!("FCM took the message {name}"))
        .with_status(response.status)
        .with_details(details.finish()))
}

/// The request's body. What Android and Apple devices call differently is said to both.
fn message(config: &Config, body: Option<&str>, now_secs: u64) -> String {
    let mut message = JsonObject::new();
    if let Some(token) = &config.device_token {
        message.text("token", token);
    }
    if let Some(topic) = &config.topic {
        message.text("topic", topic);
    }
    for (name, object) in [("notification", notification(config, body)), ("data", data(config))] {
        if let Some(object) = object {
            message.raw(name, &object);
        }
    }
    for (name, object) in [("android", android(config)), ("apns", apple(config, now_secs))] {
        if let Some(object) = object {
            message.raw(name, &object);
        }
    }
    let mut request = JsonObject::new();
    request.raw("message", &message.finish());
    request.finish()
}

/// What FCM counts of a message ("About FCM messages": 4096 bytes of notification and data).
fn payload_bytes(config: &Config, body: Option<&str>) -> usize {
    notification(config, body).map_or(0, |text| text.len()) + data(config).map_or(0, |text| text.len())
}

fn notification(config: &Config, body: Option<&str>) -> Option<String> {
    let mut notification = JsonObject::new();
    for (name, text) in [("title", config.title_template.as_deref()), ("body", body)] {
        if let Some(text) = text {
            notification.text(name, text);
        }
    }
    written(notification)
}

fn data(config: &Config) -> Option<String> {
    let mut data = JsonObject::new();
    for (name, value) in &config.data {
        data.text(name, value);
    }
    written(data)
}

fn android(config: &Config) -> Option<String> {
    let mut android = JsonObject::new();
    if let Some(key) = &config.collapse_key {
        android.text("collapse_key", key);
    }
    if let Some(priority) = config.priority {
        android.text("priority", if priority == Priority::High { "HIGH" } else { "NORMAL" });
    }
    if let Some(ttl_secs) = config.ttl_secs {
        android.text("ttl", &format!("{ttl_secs}s"));
    }
    if let Some(sound) = config.sound.as_ref().filter(|_| config.is_shown()) {
        let mut notification = JsonObject::new();
        notification.text("sound", sound);
        android.raw("notification", &notification.finish());
    }
    written(android)
}

fn apple(config: &Config, now_secs: u64) -> Option<String> {
    let mut headers = JsonObject::new();
    if let Some(key) = &config.collapse_key {
        headers.text("apns-collapse-id", key);
    }
    if let Some(priority) = config.priority {
        headers.text("apns-priority", if priority == Priority::High { "10" } else { "5" });
    }
    if let Some(ttl_secs) = config.ttl_secs {
        headers.text("apns-expiration", &(now_secs + u64::from(ttl_secs)).to_string());
    }
    let mut apple = JsonObject::new();
    if let Some(headers) = written(headers) {
        apple.raw("headers", &headers);
    }
    if let Some(sound) = config.sound.as_ref().filter(|_| config.is_shown()) {
        let (mut aps, mut payload) = (JsonObject::new(), JsonObject::new());
        aps.text("sound", sound);
        payload.raw("aps", &aps.finish());
        apple.raw("payload", &payload.finish());
    }
    written(apple)
}

/// An object's text, unless it is empty.
fn written(object: JsonObject) -> Option<String> {
    Some(object.finish()).filter(|text| text != "{}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn made(written: Value) -> Value {
        let config: Config = serde_json::from_value(written).expect("a configuration");
        serde_json::from_str(&message(&config, config.body_template.as_deref(), 1000)).expect("JSON")
    }

    #[test]
    fn the_smallest_message() {
        let seed = json!({"device_token": "device123", "title_template": "Order Update", "body_template": "b \"c\""});
        let notification = json!({"title": "Order Update", "body": "b \"c\""});
        assert_eq!(made(seed), json!({"message": {"token": "device123", "notification": notification}}));
        assert_eq!(
            made(json!({"topic": "t", "data": {"order": "7"}, "sound": "default"})),
            json!({"message": {"topic": "t", "data": {"order": "7"}}}),
            "what is not shown makes no sound"
        );
    }

    #[test]
    fn what_devices_call_differently_is_said_to_both() {
        let whole = made(json!({
            "device_token": "d", "body_template": "b", "collapse_key": "order-7", "priority": "high", "ttl_secs": 60, "sound": "ding",
        }));
        assert_eq!(
            whole["message"]["android"],
            json!({"collapse_key": "order-7", "priority": "HIGH", "ttl": "60s", "notification": {"sound": "ding"}})
        );
        assert_eq!(
            whole["message"]["apns"],
            json!({
                "headers": {"apns-collapse-id": "order-7", "apns-priority": "10", "apns-expiration": "1060"},
                "payload": {"aps": {"sound": "ding"}},
            })
        );
    }
}
