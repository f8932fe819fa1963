//! The action `sms`: sends a text message through Twilio or Vonage.

mod check;
mod config;
mod phone;
mod segments;
mod sender;
mod twilio;
mod twilio_errors;
mod vonage;
mod vonage_errors;

use aftercommit_plugin::{http::Request, prelude::*, too_long::TextLimit};

use config::{Config, Provider};

struct Sms;

/// What was accepted by a provider.
struct Accepted {
    /// The provider's id of the message.
    id: String,
    /// What the provider says of it, such as `queued`.
    state: String,
    status: u16,
}

impl Plugin for Sms {
    const NAME: &'static str = "sms";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends a text message through Twilio or Vonage";
    const NEEDS: &'static [Need] = &[Need::Http];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        config.problems()
    }

    fn run(_event: Event, delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        phone::check(&config.phone).map_err(|why| Failure::permanent("invalid_phone_number", why))?;
        if config.message_template.trim().is_empty() {
            return Err(Failure::permanent("empty_message", "message_template made no text"));
        }
        let limit = TextLimit {
            what: "message_template",
            vendor: config.provider.title(),
            max_chars: config.provider.max_chars(),
            // An ellipsis is no letter of GSM's alphabet: with it the text would need more than twice the messages.
            end: "...",
        };
        let text = limit.fit(&config.message_template, config.too_long)?;
        let segments = segments::of(&text);
        let accepted = match config.provider {
            Provider::Twilio => twilio::send(&config, &text)?,
            Provider::Vonage => vonage::send(&config, &text, &delivery.id)?,
        };
        let mut details = JsonObject::new();
        details
            .text("provider", config.provider.as_str())
            .text("message_id", &accepted.id)
            .text("state", &accepted.state)
            .text("encoding", segments.encoding.as_str())
            .raw("segments", &segments.count.to_string());
        let summary = format!("{} took message {}", config.provider.title(), accepted.id);
        Ok(Outcome::new(summary).with_status(accepted.status).with_details(details.finish()))
    }
}

aftercommit_plugin::export!(Sms);

/// A POST to a path of the provider's API.
fn post(config: &Config, path: &str) -> Result<Request, Failure> {
    let Some(api_url) = &config.api_url else {
        return Err(Failure::misconfigured("config", "`api_url` is not given"));
    };
    Ok(Request::post(format!("{}{path}", api_url.trim_end_matches('/'))).header("Accept", "application/json"))
}
