//! Sends one mail or one command to Redis, as its configuration says; the reply or the error is in the details.

use aftercommit_plugin::{
    bindings::aftercommit::action::{
        mail::{self, MailError},
        redis::{self, Node, RedisError},
    },
    http::Content,
    prelude::*,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Either `command` or `to` is given.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name of the Redis connection.
    #[serde(default)]
    connection: String,
    /// The command and its arguments.
    #[serde(default)]
    command: Vec<String>,
    /// Recipients of a mail.
    #[serde(default)]
    to: Vec<String>,
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
    const NEEDS: &'static [Need] = &[Need::Mail, Need::Redis];
    type Config = Config;

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let details = match config.command.split_first() {
            Some((command, arguments)) => execute(&config.connection, command, arguments),
            None => send(config),
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

fn send(config: Config) -> Value {
    let message = mail::Message {
        sender: config.sender,
        to: config.to,
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: config.subject,
        text: config.text.map(Into::into),
        html: config.html.map(Into::into),
        headers: config.headers,
        attachments: Vec::new(),
        message_id: None,
    };
    match mail::send(&message) {
        Ok(id) => json!({"message_id": id}),
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
