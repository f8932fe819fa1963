#![doc = include_str!("../README.md")]

mod batch;
pub mod bindings;
pub mod clock;
mod component;
mod event;
mod excerpt;
pub mod http;
mod json;
pub mod log;
pub mod mail;
pub mod memcached;
mod outcome;
mod plugin;
pub mod redis;
pub mod schema;
pub mod secrets;
pub mod template;
pub mod too_long;

pub use batch::{BatchItem, BatchPlugin};
pub use bindings::aftercommit::action::model::{Delivery, Event, Failure, FieldProblem, Outcome, Problem};
#[doc(hidden)]
pub use component::Component;
pub use excerpt::excerpt;
pub use json::JsonObject;
pub use outcome::FailureClass;
pub use plugin::{Need, Plugin};

/// What a plugin's main file needs.
pub mod prelude {
    pub use crate::{
        Delivery, Event, Failure, FieldProblem, JsonObject, Need, Outcome, Plugin, clock, http, log, mail,
        memcached, redis, secrets, template,
    };
}
