//! `demo`: the whole path of an event, on a database of its own.

use super::{
    failure::{Failure, Outcome},
    session::Session,
};

/// Show the whole path of an event on a small database of its own
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  aftercommit demo")]
pub(super) struct Args {}

pub(super) fn run(_: &Session, _: &Args) -> Outcome {
    Err(Failure::failed("this build has no demonstration: run `cargo xtask demo` in the source tree"))
}
