//! The action `log`: writes one line to the host's log.

use std::collections::BTreeMap;

use aftercommit_plugin::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// What is written beside `type = "log"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The line to write.
    #[schemars(example = &"order {{entity_id}} is {{status}}")]
    message: template::Text,
    /// How important it is.
    #[serde(default)]
    #[schemars(extend("default" = "info"))]
    level: Severity,
    /// Further fields of the line, by name. `event_id`, `entity_type`, `entity_id` and `event_kind` are always there.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("total", "{{total}}")]))]
    fields: BTreeMap<String, template::Text>,
}

/// A level of the host's log.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Severity {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl From<Severity> for log::Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Debug => Self::Debug,
            Severity::Info => Self::Info,
            Severity::Warn => Self::Warn,
            Severity::Error => Self::Error,
        }
    }
}

/// Names the plugin sets itself.
const OWN_FIELDS: [&str; 4] = ["event_id", "entity_type", "entity_id", "event_kind"];

struct Log;

impl Plugin for Log {
    const NAME: &'static str = "log";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Writes one line to the host's log";
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        let taken = config.fields.keys().filter(|name| OWN_FIELDS.contains(&name.as_str()));
        taken
            .map(|name| FieldProblem::new(format!("/fields/{name}"), "the action sets this field itself"))
            .collect()
    }

    fn run(event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let own = [event.id, event.entity_type, event.entity_id, event.kind];
        let mut fields: Vec<_> = OWN_FIELDS.iter().map(ToString::to_string).zip(own).collect();
        fields.extend(config.fields.into_iter().map(|(name, value)| (name, value.into())));
        log::write(config.level.into(), &config.message, &fields);
        Ok(Outcome::new("logged"))
    }
}

aftercommit_plugin::export!(Log);
