//! Returns what it was given, as `{"config":..., "event":..., "delivery":...}` in the outcome's details: what a guest
//! sees after templates were rendered and secrets replaced.

use std::{borrow::Cow, collections::BTreeMap};

use aftercommit_plugin::{prelude::*, secrets::Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::value::RawValue;

/// One field for each thing the host does to a configuration.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Fields {
    /// A plain text.
    plain: Option<String>,
    text: Option<template::Text>,
    json: Option<template::Json>,
    html: Option<template::Html>,
    slack: Option<template::Slack>,
    #[schemars(extend("x-egress" = true))]
    url: Option<template::Url>,
    /// Names a secret for `url`.
    #[schemars(extend("x-secret-env" = "url"))]
    url_env: Option<String>,
    list: Option<Vec<template::Text>>,
    map: Option<BTreeMap<String, template::Header>>,
    secret: Option<Secret>,
    secrets: Option<Vec<Secret>>,
    /// Names a secret for `secrets`.
    #[schemars(extend("x-secret-env" = "secrets"))]
    secret_env: Option<String>,
    #[schemars(extend("x-secret-body" = true))]
    body: Option<template::Json>,
    #[schemars(extend("x-tls-client-certificate" = "url"))]
    client_certificate: Option<String>,
    #[schemars(extend("x-tls-client-key" = "url"))]
    client_key: Option<String>,
    /// Any JSON.
    any: Option<serde_json::Value>,
}

/// The configuration as the guest received it.
#[derive(Deserialize)]
#[serde(transparent)]
struct Config(Box<RawValue>);

impl JsonSchema for Config {
    fn schema_name() -> Cow<'static, str> {
        Fields::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Fields::json_schema(generator)
    }
}

struct Echo;

impl Plugin for Echo {
    const NAME: &'static str = "echo";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Returns what it was given";
    type Config = Config;

    fn run(event: Event, delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let mut about = JsonObject::new();
        about
            .text("id", &delivery.id)
            .text("observer", &delivery.observer)
            .raw("attempt", &delivery.attempt.to_string())
            .raw("max_attempts", &delivery.max_attempts.to_string())
            .raw("budget_ms", &delivery.budget_ms.to_string());
        let mut details = JsonObject::new();
        details.raw("config", config.0.get()).raw("event", &event.to_json()).raw("delivery", &about.finish());
        Ok(Outcome::new("echoed").with_details(details.finish()))
    }
}

aftercommit_plugin::export!(Echo);
