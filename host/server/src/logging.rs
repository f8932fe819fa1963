//! The log: one line an event, on standard error, as text or as JSON.
//!
//! Fields have the same name everywhere:
//!
//! | field | meaning |
//! |---|---|
//! | `event_id`, `entity_type`, `entity_id`, `event_kind` | the event |
//! | `observer`, `action` | names of the observer and of its action |
//! | `delivery_id`, `attempt`, `max_attempts` | the delivery |
//! | `plugin` | name of the plugin that ran |
//! | `duration_ms` | how long it took |
//! | `class`, `code`, `http_status` | how an attempt failed: its class, its short stable word, the destination's status |
//! | `alert` | `true` when a person should look |
//! | `host` | the host's id |
//! | `error` | what went wrong, in words |
//!
//! Every line of an attempt carries its delivery, event, observer, action and attempt, each once. What a plugin calls fields is an object
//! under `fields`. Nothing that a terminal or a reader of lines would obey is written as it is: see `aftercommit_core::plain`.

mod fields;
mod flat_json;
mod text;

use std::io;

use flat_json::FlatJson;
use text::Text;
use tracing_subscriber::{EnvFilter, fmt::format::JsonFields};

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged without `AFTERCOMMIT_LOG` and `RUST_LOG`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verbosity {
    /// A host that runs: what it does, and warnings of everything else.
    Host,
    /// A command that ends by itself: warnings.
    Command,
}

impl Verbosity {
    const fn directives(self) -> &'static str {
        match self {
            Self::Host => "warn,aftercommit=info",
            // A person waits for it.
            Self::Command => "warn,aftercommit_runtime::compiling=info",
        }
    }
}

/// Starts the log. What is wrong with the level's text is returned; the default level is used then.
pub fn start(format: LogFormat, verbosity: Verbosity) -> Option<String> {
    let (filter, complaint) = filter(verbosity);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A program that embeds this one may have its own.
    let _ = match format {
        LogFormat::Text => log
            .with_ansi(super::output::color_on_stderr())
            .fmt_fields(JsonFields::new())
            .event_format(Text)
            .try_init(),
        LogFormat::Json => log.fmt_fields(JsonFields::new()).event_format(FlatJson).try_init(),
    };
    complaint
}

fn filter(verbosity: Verbosity) -> (EnvFilter, Option<String>) {
    let set = ["AFTERCOMMIT_LOG", "RUST_LOG"].into_iter().find_map(|name| {
        std::env::var(name).ok().filter(|level| !level.is_empty()).map(|level| (name, level))
    });
    let default = || EnvFilter::new(verbosity.directives());
    match set {
        None => (default(), None),
        Some((name, level)) => match EnvFilter::try_new(&level) {
            Ok(filter) => (filter, None),
            Err(error) => (default(), Some(format!("{name}: `{level}` is no log level: {error}"))),
        },
    }
}

#[cfg(test)]
mod tests;
