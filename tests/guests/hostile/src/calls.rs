//! Calls of the host whose result the test wants to see: as a JSON object, `{"error":...,"message":...}` when it failed.

use aftercommit_plugin::{
    bindings::aftercommit::action::{mail, redis},
    http::{Content, HttpError, Request},
    prelude::*,
    secrets::{Hash, Key, SecretError, Signature},
};
use serde_json::json;

use crate::config::{Config, HttpRequest};

/// Sends the configured request.
pub(crate) fn http(config: &Config) -> String {
    let Some(request) = &config.request else { return missing("request") };
    match request_of(request).send() {
        Err(error) => failed(http_error(&error), &format!("{error:?}")),
        Ok(response) => json!({
            "status": response.status,
            "headers": response.headers,
            "body": response.text(),
            "retry_after_ms": response.retry_after_ms,
            "truncated": response.truncated,
        })
        .to_string(),
    }
}

pub(crate) fn request_of(config: &HttpRequest) -> Request {
    let mut request = Request::new(&config.method, &config.url).max_redirects(config.max_redirects);
    for (name, value) in &config.headers {
        request = request.header(name, value);
    }
    if let Some(token) = &config.bearer {
        request = request.bearer(token);
    }
    if let Some(body) = &config.body {
        request = request.body(Content::Text(body.clone()));
    }
    match config.timeout_ms {
        Some(timeout_ms) => request.timeout_ms(timeout_ms),
        None => request,
    }
}

const fn http_error(error: &HttpError) -> &'static str {
    match error {
        HttpError::InvalidRequest(_) => "invalid-request",
        HttpError::Denied(_) => "denied",
        HttpError::Dns(_) => "dns",
        HttpError::Connect(_) => "connect",
        HttpError::Tls(_) => "tls",
        HttpError::Timeout => "timeout",
        HttpError::Protocol(_) => "protocol",
    }
}

pub(crate) fn handle(config: &Config) -> String {
    let Some(secret) = &config.secret else { return missing("secret") };
    json!({"handle": secret.handle()}).to_string()
}

pub(crate) fn reveal(config: &Config) -> String {
    let Some(secret) = &config.secret else { return missing("secret") };
    secret.reveal().map_or_else(|error| secret_failed(&error), |text| json!({"value": text}).to_string())
}

pub(crate) fn hmac(config: &Config) -> String {
    let Some(secret) = &config.secret else { return missing("secret") };
    bytes(secret.hmac(Hash::Sha256, &Key::Base64, &config.message))
}

pub(crate) fn sign(config: &Config) -> String {
    let Some(secret) = &config.secret else { return missing("secret") };
    bytes(secret.sign(Signature::Ed25519, &Key::Base64, &config.message))
}

fn bytes(result: Result<Vec<u8>, SecretError>) -> String {
    result.map_or_else(|error| secret_failed(&error), |bytes| json!({"bytes": bytes}).to_string())
}

fn secret_failed(error: &SecretError) -> String {
    let code = match error {
        SecretError::Denied(_) => "denied",
        SecretError::InvalidKey(_) => "invalid-key",
        SecretError::Token(_) => "token",
        SecretError::Unsupported(_) => "unsupported",
    };
    failed(code, &format!("{error:?}"))
}

pub(crate) fn render(config: &Config, event: &Event) -> String {
    match template::render(&config.message, template::Escaping::Text, &event.data) {
        Ok(text) => json!({"text": text}).to_string(),
        Err(failure) => failed("template", &failure.problem().message),
    }
}

pub(crate) fn redis() -> String {
    match redis::execute("main", "PING", &[]) {
        Ok(nodes) => json!({"reply": format!("{nodes:?}")}).to_string(),
        Err(error) => failed("redis", &format!("{error:?}")),
    }
}

pub(crate) fn mail() -> String {
    let message = mail::Message {
        sender: None,
        to: vec!["nobody@example.com".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: "Undeclared".to_owned(),
        text: Some(String::new()),
        html: None,
        headers: Vec::new(),
        attachments: Vec::new(),
        message_id: None,
    };
    match mail::send(&message) {
        Ok(sent) => json!({"message_id": sent.message_id}).to_string(),
        Err(error) => failed("mail", &format!("{error:?}")),
    }
}

fn failed(code: &str, message: &str) -> String {
    json!({"error": code, "message": message}).to_string()
}

fn missing(field: &str) -> String {
    failed("config", &format!("`{field}` is not given"))
}
