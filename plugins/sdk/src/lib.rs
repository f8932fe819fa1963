//! Write an aftercommit action as a configuration struct and one function.
//!
//! ```
//! use aftercommit_plugin::prelude::*;
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! /// What a user writes beside `type = "greet"`.
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {
//!     /// The line to write; a template.
//!     message: template::Text,
//! }
//!
//! struct Greet;
//!
//! impl Plugin for Greet {
//!     const NAME: &'static str = "greet";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     const SUMMARY: &'static str = "Writes a greeting to the log";
//!     type Config = Config;
//!
//!     fn run(event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
//!         log::info!(config.message, entity = event.entity_id);
//!         Ok(Outcome::new("greeted"))
//!     }
//! }
//!
//! aftercommit_plugin::export!(Greet);
//! # fn main() {}
//! ```
//!
//! The crate's own dependencies are `aftercommit-plugin`, `serde` and `schemars`. Compile it with `crate-type = ["cdylib"]` for `wasm32-unknown-unknown`. Outside WebAssembly the crate compiles too, so
//! that the pure parts of a plugin have ordinary unit tests; the host's functions are not there then.

pub mod bindings;
pub mod clock;
mod component;
mod event;
pub mod http;
mod json;
pub mod log;
mod outcome;
mod plugin;
mod schema;
pub mod secrets;
pub mod template;

pub use bindings::aftercommit::action::model::{Delivery, Event, Failure, FieldProblem, Outcome, Problem};
#[doc(hidden)]
pub use component::Component;
pub use json::JsonObject;
pub use plugin::{Need, Plugin};

/// What a plugin's main file needs.
pub mod prelude {
    pub use crate::{
        Delivery, Event, Failure, FieldProblem, JsonObject, Need, Outcome, Plugin, clock, http, log, secrets,
        template,
    };
}
