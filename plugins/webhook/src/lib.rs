//! The action `webhook`: sends the event to an HTTP endpoint, signed as Standard Webhooks 1.0.0 asks.

mod batch;
mod body;
mod config;
mod element;
mod event_type;
mod gone;
mod headers;
mod message;
mod oauth2;
mod signature;
mod success;

use aftercommit_plugin::{BatchItem, BatchPlugin, prelude::*};

use config::Config;
use message::Message;

struct Webhook;

impl Plugin for Webhook {
    const NAME: &'static str = "webhook";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends the event to an HTTP endpoint, signed (Standard Webhooks)";
    const NEEDS: &'static [Need] = &[Need::Http, Need::Secrets];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        config.problems()
    }

    fn run(event: Event, delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let message = Message {
            id: &delivery.id,
            body: body::of(&config, &event),
            traceparent: event.attribute(headers::TRACEPARENT),
            timeout_ms: None,
            events: None,
        };
        message.send(&config)
    }
}

impl BatchPlugin for Webhook {
    /// Items with the same URL and headers share a request whose body is an array.
    fn run_batch(items: Vec<BatchItem<Config>>) -> Vec<Result<Outcome, Failure>> {
        batch::run(&items)
    }
}

aftercommit_plugin::export!(Webhook);
aftercommit_plugin::export_batch!(Webhook);
