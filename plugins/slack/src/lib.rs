//! The action `slack`: posts a message to Slack, through an incoming webhook or `chat.postMessage`.

mod config;
mod errors;
mod limits;
mod message;
mod web_api;
mod webhook;

use aftercommit_plugin::prelude::*;

use config::Config;

struct Slack;

impl Plugin for Slack {
    const NAME: &'static str = "slack";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Posts a message to Slack: incoming webhook or chat.postMessage";
    const NEEDS: &'static [Need] = &[Need::Http];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        config.problems()
    }

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let message = message::of(&config)?;
        match (&config.token, &config.webhook_url) {
            (Some(token), _) => web_api::post(&config, token, message),
            (None, Some(url)) => webhook::post(url, message),
            (None, None) => Err(Failure::misconfigured("config", config::NO_DESTINATION)),
        }
    }
}

aftercommit_plugin::export!(Slack);
