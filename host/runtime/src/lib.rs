//! Runs plugins: WebAssembly components with exactly the capabilities that they were granted.
//!
//! The way of an action: [`Runtime::load`] makes a [`Plugin`] of a component; [`Plugin::configure`] checks what an
//! operator wrote and makes a [`ConfiguredAction`]; [`ConfiguredAction::run`] runs it for one event, in an instance of
//! its own, and returns an [`Attempt`] whatever happens. [`ConfiguredAction::run_batch`] does so for several events.
//!
//! This is the only crate that names the engine, and the only one from which plugins reach the network. It knows
//! nothing of databases, of deliveries beyond their id, or of retries.

mod action;
mod address;
mod admission;
mod attempt;
mod batch;
mod bindings;
mod cache;
mod calling;
mod capability;
mod choices;
mod compiler;
mod compiling;
mod configure;
mod connections;
mod contacts;
mod cpu;
mod default_destinations;
mod denials;
mod descriptor;
mod dot_segments;
mod egress;
mod engine;
mod event;
pub mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guest;
mod hostapi;
mod identities;
mod invocation;
mod lanes;
mod limits;
mod linking;
mod loading;
mod origins;
mod plugin;
mod problem;
mod reachable;
mod rendering;
mod reserve;
mod result;
mod runtime;
mod schema;
mod schema_size;
mod secrets;
mod settings;
mod standing;
mod templates;
mod ticker;
mod warm;
mod weight;
mod world;

pub use action::{Addressed, ConfiguredAction};
pub use admission::Admission;
pub use attempt::{Attempt, DeliveryInfo, Usage};
pub use batch::BatchItem;
pub use capability::{Effective, Need, Needs, Origin, PrivateNetwork};
pub use compiler::{Compiler, compile_if_asked};
pub use denials::Denied;
pub use descriptor::{Descriptor, DescriptorError};
pub use egress::{
    MemcachedSettings, ProxySettings, RedisSettings, RouteSettings, SmtpEncryption, SmtpOAuth, SmtpSettings,
};
pub use engine::EngineError;
pub use event::PreparedEvent;
pub use limits::Limits;
pub use loading::{ComponentSource, LoadError};
pub use plugin::Plugin;
pub use problem::{ConfigProblem, ConfigureError};
pub use runtime::Runtime;
pub use secrets::{ChainedSecrets, EnvSecrets, FileSecrets, Secret, SecretError, SecretProvider};
pub use settings::{RuntimeSettings, ServiceSettings};
pub use world::Misfit;
