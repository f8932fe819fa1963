//! The action `push`: sends a push notification through Firebase Cloud Messaging (FCM) or Apple's APNs.

mod apns;
mod apns_errors;
mod check;
mod config;
mod fcm;
mod fcm_errors;
mod payload;

use aftercommit_plugin::prelude::*;

use config::{Config, Provider};

struct Push;

impl Plugin for Push {
    const NAME: &'static str = "push";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends a push notification through FCM or APNs";
    const NEEDS: &'static [Need] = &[Need::Http, Need::Secrets];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        config.problems()
    }

    fn run(_event: Event, delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        match config.provider {
            Provider::Fcm => fcm::send(&config),
            Provider::Apns => apns::send(&config, &delivery.id),
        }
    }
}

aftercommit_plugin::export!(Push);

/// A field that `check` has asked for.
fn needed<'c, T>(value: Option<&'c T>, name: &str) -> Result<&'c T, Failure> {
    value.ok_or_else(|| Failure::misconfigured("config", format!("`{name}` is not given")))
}
