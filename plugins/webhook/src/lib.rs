//! The action `webhook`: sends the event to an HTTP endpoint, signed as Standard Webhooks 1.0.0 asks.

mod body;
mod config;
mod event_type;
mod gone;
mod headers;
mod signature;
mod success;

use aftercommit_plugin::{http::Request, prelude::*};

use config::Config;

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
        let Some(url) = config.url.as_deref() else {
            return Err(Failure::misconfigured("config", "neither url nor url_env is given"));
        };
        let body = body::of(&config, &event);
        let timestamp_secs = clock::now_secs();
        let signed = body.as_deref().unwrap_or_default();
        let signatures = signature::of(&config.signing_secrets, &delivery.id, timestamp_secs, signed)?;

        let mut request = Request::new(config.method.as_str(), url).max_redirects(config.follow_redirects);
        for (name, value) in &config.headers {
            request = request.header(name, value.as_ref());
        }
        request =
            request.header(headers::ID, &delivery.id).header(headers::TIMESTAMP, timestamp_secs.to_string());
        if let Some(signatures) = signatures {
            request = request.header(headers::SIGNATURE, signatures);
        }
        if let Some(traceparent) = event.attribute(headers::TRACEPARENT) {
            request = request.header_if_absent(headers::TRACEPARENT, traceparent);
        }
        if let Some(body) = body {
            request = request.json(body);
        }

        let response = request.send()?;
        let response = response.success_if(|status| config.is_success(status)).map_err(gone::recognized)?;
        Ok(Outcome::new(summary(config.method, url, response.status)).with_status(response.status))
    }
}

aftercommit_plugin::export!(Webhook);

/// For example `POST https://example.com/hook -> 200`. A URL that holds a secret is not named.
fn summary(method: config::Method, url: &str, status: u16) -> String {
    let method = method.as_str();
    http::origin_and_path(url).map_or_else(
        || format!("{method} -> {status}"),
        |destination| format!("{method} {destination} -> {status}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_no_secret() {
        let summary = |url| summary(config::Method::Put, url, 201);
        assert_eq!(summary("https://example.com/a?key=1"), "PUT https://example.com/a -> 201");
        assert_eq!(summary("acsecret0123456789abcdef0123456789abcdef0123456789abcdef"), "PUT -> 201");
    }
}
