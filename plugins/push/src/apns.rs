//! APNs: `POST /3/device/{token}` over HTTP/2, with a provider token that the host signs and keeps.
//!
//! Source: Apple's "Sending notification requests to APNs" and "Establishing a token-based connection to APNs".

use aftercommit_plugin::{
    Failure, JsonObject, Outcome, clock,
    http::Request,
    secrets::{ProviderToken, Signature, TokenRequest, access_token},
};

use crate::{
    apns_errors,
    config::{Config, Priority},
    needed,
    payload::fitting_body,
};

/// The longest `apns-collapse-id` ("Sending notification requests to APNs").
pub(crate) const MAX_COLLAPSE_BYTES: usize = 64;

/// `delivery_id` is the `apns-id`: APNs names it in its answer.
pub(crate) fn send(config: &Config, delivery_id: &str) -> Result<Outcome, Failure> {
    let api_url = needed(config.api_url.as_ref(), "api_url")?.trim_end_matches('/');
    let device_token = device_token(config)?;
    let body = fitting_body(config, "APNs", |body| payload(config, body).len())?;
    let payload = payload(config, body.as_deref());
    let mut request = Request::post(format!("{api_url}/3/device/{device_token}"));
    for (name, value) in headers(config, delivery_id, clock::now_secs())? {
        request = request.header(name, value);
    }
    let token = access_token(&TokenRequest::ProviderToken(ProviderToken {
        key: needed(config.key.as_ref(), "key")?.handle().to_owned(),
        algorithm: Signature::Es256,
        key_id: needed(config.key_id.as_ref(), "key_id")?.clone(),
        issuer: needed(config.team_id.as_ref(), "team_id")?.clone(),
    }))?;
    let response = request.bearer(token.handle()).json(payload).send()?;
    if response.status != 200 {
        return Err(apns_errors::failure(&response));
    }
    let id = response.header("apns-id").unwrap_or(delivery_id);
    let mut details = JsonObject::new();
    details.text("provider", "apns").text("message_id", id);
    Ok(Outcome::new(format!("APNs took {id}")).with_status(response.status).with_details(details.finish()))
}

/// The token stands in the path, so nothing but letters and digits may come from the row.
fn device_token(config: &Config) -> Result<&str, Failure> {
    let token = needed(config.device_token.as_ref(), "device_token")?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let message = "device_token is not a device's token: APNs' are hexadecimal digits";
        return Err(Failure::permanent("invalid_device_token", message));
    }
    Ok(token)
}

fn headers(
    config: &Config,
    delivery_id: &str,
    now_secs: u64,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let is_shown = config.is_shown();
    let mut headers = vec![
        ("apns-id", delivery_id.to_owned()),
        ("apns-topic", needed(config.bundle_id.as_ref(), "bundle_id")?.clone()),
        ("apns-push-type", if is_shown { "alert" } else { "background" }.to_owned()),
    ];
    // What is not shown may only be sent with 5; APNs' own default is 10.
    match config.priority {
        _ if !is_shown => headers.push(("apns-priority", "5".to_owned())),
        Some(Priority::High) => headers.push(("apns-priority", "10".to_owned())),
        Some(Priority::Normal) => headers.push(("apns-priority", "5".to_owned())),
        None => {}
    }
    if let Some(ttl_secs) = config.ttl_secs {
        // 0: it is not kept at all.
        let until = if ttl_secs == 0 { 0 } else { now_secs + u64::from(ttl_secs) };
        headers.push(("apns-expiration", until.to_string()));
    }
    if let Some(key) = &config.collapse_key {
        if key.len() > MAX_COLLAPSE_BYTES {
            let message =
                format!("collapse_key has {} bytes, and APNs takes {MAX_COLLAPSE_BYTES}", key.len());
            return Err(Failure::permanent("collapse_key_too_long", message));
        }
        headers.push(("apns-collapse-id", key.to_string()));
    }
    Ok(headers)
}

/// Apple's "Generating a remote notification".
fn payload(config: &Config, body: Option<&str>) -> String {
    let mut aps = JsonObject::new();
    if config.is_shown() {
        let mut alert = JsonObject::new();
        for (name, text) in [("title", config.title_template.as_deref()), ("body", body)] {
            if let Some(text) = text {
                alert.text(name, text);
            }
        }
        aps.raw("alert", &alert.finish());
        if let Some(sound) = &config.sound {
            aps.text("sound", sound);
        }
    } else {
        aps.raw("content-available", "1");
    }
    let mut payload = JsonObject::new();
    payload.raw("aps", &aps.finish());
    for (name, value) in &config.data {
        payload.text(name, value);
    }
    payload.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(mut written: Value) -> Config {
        written["provider"] = json!("apns");
        written["bundle_id"] = json!("com.example.shop");
        serde_json::from_value(written).expect("a configuration")
    }

    #[test]
    fn a_shown_notification() {
        let shown = config(json!({
            "title_template": "t", "body_template": "b", "sound": "default", "data": {"order": "7"}, "collapse_key": "order-7",
            "ttl_secs": 60, "priority": "high",
        }));
        assert_eq!(
            payload(&shown, shown.body_template.as_deref()),
            r#"{"aps":{"alert":{"title":"t","body":"b"},"sound":"default"},"order":"7"}"#
        );
        let headers = headers(&shown, "d1", 1000).expect("headers");
        let told: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            told,
            [
                "apns-id: d1",
                "apns-topic: com.example.shop",
                "apns-push-type: alert",
                "apns-priority: 10",
                "apns-expiration: 1060",
                "apns-collapse-id: order-7"
            ]
        );
    }

    #[test]
    fn one_that_is_not_shown() {
        let silent = config(json!({"data": {"order": "7"}, "priority": "high", "ttl_secs": 0}));
        assert_eq!(payload(&silent, None), r#"{"aps":{"content-available":1},"order":"7"}"#);
        let headers = headers(&silent, "d1", 1000).expect("headers");
        assert_eq!(
            headers[2..],
            [
                ("apns-push-type", "background".to_owned()),
                ("apns-priority", "5".to_owned()),
                ("apns-expiration", "0".to_owned()),
            ]
        );
    }

    #[test]
    fn what_apns_would_not_take_is_not_sent() {
        let long = config(json!({"body_template": "b", "collapse_key": "x".repeat(65)}));
        assert!(
            matches!(headers(&long, "d", 0), Err(Failure::Permanent(why)) if why.code == "collapse_key_too_long")
        );
        for token in ["", "../x", "a b"] {
            let wrong = config(json!({"device_token": token}));
            assert!(
                matches!(device_token(&wrong), Err(Failure::Permanent(why)) if why.code == "invalid_device_token")
            );
        }
    }
}
