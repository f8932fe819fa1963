//! What a plugin is.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Delivery, Event, Failure, FieldProblem, Outcome};

/// An action: its name, its configuration and what it does.
pub trait Plugin {
    /// The word written as an action's `type`: `[a-z][a-z0-9-]*`.
    const NAME: &'static str;
    /// Semantic version of the plugin: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// The capabilities without which the plugin can not work. What is not named here is never granted.
    const NEEDS: &'static [Need] = &[];
    /// What a user writes. Its JSON Schema is made from the struct; unknown keys are refused.
    type Config: DeserializeOwned + JsonSchema;

    /// What a schema can not say. Called when an action is loaded; templates stand as written. Empty when all is well.
    #[must_use]
    fn check(config: &Self::Config) -> Vec<FieldProblem> {
        let _ = config;
        Vec::new()
    }

    /// Runs the action once. Templates in `config` are rendered.
    fn run(event: Event, delivery: Delivery, config: Self::Config) -> Result<Outcome, Failure>;
}

/// A capability that an operator grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// HTTP requests.
    Http,
    /// Signing and tokens with secrets that the plugin does not see.
    Secrets,
    /// The text of secrets.
    RevealSecrets,
    /// E-mail over the host's server.
    Mail,
    /// Commands to a Redis server.
    Redis,
    /// Keys of a Memcached server.
    Memcached,
}

impl Need {
    /// The name in the interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Secrets => "secrets",
            Self::RevealSecrets => "secrets.reveal",
            Self::Mail => "mail",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
        }
    }
}
