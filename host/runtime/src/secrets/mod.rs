//! Secrets: where they come from, the handles that guests see in their place, and what is done with them.
//!
//! A secret's text exists in three places only: in its provider, in the handle table of the actions that it is granted
//! to, and on the wire. It is never in a guest, unless revealed by grant; never in an error; never in a log.

mod characters;
mod form;
mod handle;
mod layers;
mod live;
mod percent;
mod placement;
mod provider;
mod redaction;
mod reference;
mod service_account;
mod signing;
mod spelling;
mod substitution;

pub(crate) use characters::check_characters;
pub(crate) use form::{SecretForm, check_forms};
pub(crate) use handle::{Entry, Handles, neutralise};
pub(crate) use live::LiveSecrets;
pub(crate) use placement::{as_written, fetch, resolve_secret_names};
pub use provider::{ChainedSecrets, EnvSecrets, FileSecrets, Secret, SecretError, SecretProvider};
pub(crate) use redaction::Redaction;
pub(crate) use reference::{Part, names_secret, parts};
pub(crate) use service_account::KeyFile;
pub(crate) use signing::{KeyError, hmac, sign};
pub(crate) use substitution::Refused;
