//! Runs plugins: WebAssembly components with exactly the capabilities that they were granted.
//!
//! The way of an action: [`Runtime::load`] makes a [`Plugin`] of a component; [`Plugin::configure`] checks what an
//! operator wrote and makes a [`ConfiguredAction`]; [`ConfiguredAction::run`] runs it for one event, in an instance of
//! its own, and returns an [`Attempt`] whatever happens. [`ConfiguredAction::run_batch`] does so for several events.
//!
//! This is the only crate that names the engine, and the only one from which plugins reach the network. It knows
//! nothing of databases, of deliveries beyond their id, or of retries.

mod bindings;
mod calling;
mod capability;
mod configure;
mod dot_segments;
mod egress;
mod engine;
pub mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hostapi;
mod limits;
mod loading;
mod runtime;
mod secrets;
mod settings;
mod shared;
mod templates;

pub use calling::action::{Addressed, ConfiguredAction};
pub use calling::admission::Admission;
pub use calling::attempt::{Attempt, DeliveryInfo, Usage};
pub use calling::batch::BatchItem;
pub use calling::denials::Denied;
pub use calling::event::PreparedEvent;
pub use capability::{Effective, Need, Needs, Origin, PrivateNetwork};
pub use configure::problem::{ConfigProblem, ConfigureError};
pub use egress::{
    MemcachedSettings, ProxySettings, RedisSettings, RouteSettings, SmtpEncryption, SmtpOAuth, SmtpSettings,
};
pub use engine::EngineError;
pub use engine::compile_process::{Compiler, compile_if_asked};
pub use limits::Limits;
pub use loading::descriptor::{Descriptor, DescriptorError};
pub use loading::plugin::Plugin;
pub use loading::world::Misfit;
pub use loading::{ComponentSource, LoadError};
pub use runtime::Runtime;
pub use secrets::{ChainedSecrets, EnvSecrets, FileSecrets, Secret, SecretError, SecretProvider};
pub use settings::{RuntimeSettings, ServiceSettings};
