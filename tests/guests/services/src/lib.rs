//! Sends one mail, or one command to Redis or Memcached, as its configuration says; the reply or the error is in the details.

use aftercommit_plugin::{
    bindings::aftercommit::action::{
        mail::{self, MailError},
        memcached::{self, MemcachedError},
        redis::{self, Node, RedisError},
    },
    http::Content,
    prelude::*,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// One of `command`, `key` and `to` is given.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name of the Redis connection.
    #[serde(default)]
    connection: String,
    /// The command and its arguments.
    #[serde(default)]
    command: Vec<String>,
    /// A key of Memcached, which is set if there is a `value`, and deleted if not.
    key: Option<String>,
    value: Option<String>,
    /// Recipients of a mail.
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    cc: Vec<String>,
    #[serde(default)]
    bcc: Vec<String>,
    #[serde(default)]
    reply_to: Vec<String>,
    message_id: Option<String>,
    /// File name and media type of an attachment.
    attachment: Option<(String, String)>,
    /// Sender of the mail; the host's when absent.
    sender: Option<String>,
    #[serde(default)]
    subject: String,
    text: Option<template::Text>,
    html: Option<template::Html>,
    /// Further headers.
    #[serde(default)]
    headers: Vec<(String, String)>,
}

struct Services;

impl Plugin for Services {
    const NAME: &'static str = "services";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Calls one service of the host";
    const NEEDS: &'static [Need] = &[Need::Mail, Need::Redis, Need::Memcached];
    type Config = Config;

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let details = match (config.command.split_first(), &config.key) {
            (Some((command, arguments)), _) => execute(&config.connection, command, arguments),
            (None, Some(key)) => cache(&config.connection, key, config.value.as_ref()),
            (None, None) => send(config),
        };
        Ok(Outcome::new("called").with_details(details.to_string()))
    }
}

aftercommit_plugin::export!(Services);

fn execute(connection: &str, command: &str, arguments: &[String]) -> Value {
    let arguments: Vec<_> = arguments.iter().cloned().map(Content::Text).collect();
    match redis::execute(connection, command, &arguments) {
        Ok(nodes) => json!({"reply": nodes.into_iter().map(node).collect::<Vec<_>>()}),
        Err(error) => {
            let code = match &error {
                RedisError::Denied(_) => "denied",
                RedisError::NotConfigured(_) => "not-configured",
                RedisError::Connect(_) => "connect",
                RedisError::Timeout => "timeout",
                RedisError::ReplyTooLarge(_) => "reply-too-large",
                RedisError::Protocol(_) => "protocol",
            };
            json!({"error": code, "message": format!("{error:?}")})
        }
    }
}

/// A node with its kind, so that a test tells a status from a text.
fn node(node: Node) -> Value {
    match node {
        Node::Nil => json!({"nil": null}),
        Node::Status(text) => json!({"status": text}),
        Node::Error(text) => json!({"error": text}),
        Node::Integer(number) => json!({"integer": number}),
        Node::Data(Content::Text(text)) => json!({"text": text}),
        Node::Data(Content::Bytes(bytes)) => json!({"bytes": bytes}),
        Node::Array(length) => json!({"array": length}),
    }
}

fn cache(connection: &str, key: &str, value: Option<&String>) -> Value {
    let done = match value {
        Some(value) => memcached::set(connection, key, &Content::Text(value.clone()), 0).map(|()| true),
        None => memcached::delete(connection, key),
    };
    match done {
        Ok(done) => json!({"done": done}),
        Err(error) => {
            let code = match &error {
                MemcachedError::Denied(_) => "denied",
                MemcachedError::NotConfigured(_) => "not-configured",
                MemcachedError::InvalidKey(_) => "invalid-key",
                MemcachedError::Connect(_) => "connect",
                MemcachedError::Timeout => "timeout",
                MemcachedError::Refused(_) => "refused",
                MemcachedError::Server(_) => "server",
                MemcachedError::Protocol(_) => "protocol",
            };
            json!({"error": code, "message": format!("{error:?}")})
        }
    }
}

fn attachment((filename, media_type): (String, String)) -> mail::Attachment {
    mail::Attachment { filename, media_type, content: Content::Text("attached".to_owned()) }
}

fn send(config: Config) -> Value {
    let message = mail::Message {
        sender: config.sender,
        to: config.to,
        cc: config.cc,
        bcc: config.bcc,
        reply_to: config.reply_to,
        subject: config.subject,
        text: config.text.map(Into::into),
        html: config.html.map(Into::into),
        headers: config.headers,
        attachments: config.attachment.into_iter().map(attachment).collect(),
        message_id: config.message_id,
    };
    match mail::send(&message) {
        Ok(sent) => json!({"message_id": sent.message_id, "refused": sent.refused}),
        Err(error) => {
            let code = match &error {
                MailError::InvalidMessage(_) => "invalid-message",
                MailError::Denied(_) => "denied",
                MailError::NotConfigured(_) => "not-configured",
                MailError::Transient(_) => "transient",
                MailError::Permanent(_) => "permanent",
            };
            json!({"error": code, "message": format!("{error:?}")})
        }
    }
}
