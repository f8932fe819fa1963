//! Returns at once: what a delivery costs without its action.

use aftercommit_plugin::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// Nothing to configure.
#[derive(Deserialize, JsonSchema)]
struct Config {}

struct Noop;

impl Plugin for Noop {
    const NAME: &'static str = "noop";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Does nothing";
    type Config = Config;

    fn run(_event: Event, _delivery: Delivery, _config: Config) -> Result<Outcome, Failure> {
        Ok(Outcome::new("done"))
    }
}

aftercommit_plugin::export!(Noop);
